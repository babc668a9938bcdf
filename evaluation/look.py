"""The page's style sheet. System fonts, light and dark, one column on a phone; no script, nothing to download."""

CSS = """
:root {
  color-scheme: light dark;
  --paper: #fbfaf7; --card: #ffffff; --ink: #1e1c19; --soft: #625d55; --line: #e3ded4; --wash: #f1ede5;
  --accent: #0a6c66; --second: #b3501b; --quiet: #8a8479;
  --serif: "Charter", "Bitstream Charter", "Sitka Text", Cambria, Georgia, serif;
  --sans: system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", sans-serif;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #15171a; --card: #1c1f23; --ink: #ebe7df; --soft: #a9a399; --line: #30343a; --wash: #23272c;
    --accent: #5cc7ba; --second: #f0a26c; --quiet: #8b8c8d;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-behavior: smooth; scroll-padding-top: 4rem; }
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto; } }
body { margin: 0; background: var(--paper); color: var(--ink); font: 1rem/1.6 var(--sans); }
.page { max-width: 68rem; margin: 0 auto; padding: 0 1.25rem 4rem; }
header.page { padding-top: 3.5rem; padding-bottom: 0; }
h1, h2, h3 { font-family: var(--serif); font-weight: 600; line-height: 1.2; text-wrap: balance; }
h1 { font-size: clamp(2rem, 6vw, 3.1rem); margin: 0 0 .75rem; letter-spacing: -.015em; }
h2 { font-size: clamp(1.5rem, 4vw, 1.95rem); margin: 0 0 .5rem; letter-spacing: -.01em; }
h3 { font-size: 1.15rem; margin: 0; }
h4 { margin: 0; font-size: .8rem; font-weight: 600; color: var(--soft); }
p { margin: 0 0 1rem; max-width: 42rem; }
.lead { font: 1.2rem/1.55 var(--serif); }
.soft, figcaption, caption { color: var(--soft); }
.small, figcaption, caption { font-size: .86rem; line-height: 1.5; }
a { color: var(--accent); text-underline-offset: .2em; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; border-radius: 3px; }
.skip { position: absolute; left: -99rem; }
.skip:focus { left: 1rem; top: 1rem; z-index: 9; padding: .5rem 1rem; background: var(--card); }
nav { position: sticky; top: 0; z-index: 5; background: var(--paper); border-bottom: 1px solid var(--line); }
nav ul { display: flex; gap: 0 1.6rem; overflow-x: auto; list-style: none; margin: 0 auto; max-width: 68rem;
  padding: 0 1.25rem; scrollbar-width: none; }
nav a { display: block; padding: .8rem 0; color: var(--soft); text-decoration: none; white-space: nowrap;
  font-size: .92rem; }
nav a:hover, nav a:focus-visible { color: var(--ink); }
nav a:focus-visible { outline-offset: -3px; }
section { padding-top: 3.5rem; }
figure { margin: 1.5rem 0 0; }
figcaption { margin-top: .6rem; max-width: 42rem; }
bdi { overflow-wrap: anywhere; }

.map { position: relative; aspect-ratio: 16 / 10; border: 1px solid var(--line); border-radius: .6rem;
  background: var(--card); overflow: hidden; margin-top: .6rem; }
.map .spot { position: absolute; aspect-ratio: 1; border-radius: 50%; transform: translate(-50%, -50%);
  background: color-mix(in srgb, var(--quiet) 30%, transparent); }
.map a.spot { min-width: 1.7rem; display: grid; place-items: center; color: var(--paper); text-decoration: none;
  font-size: .8rem; background: color-mix(in srgb, var(--accent) 85%, transparent); }
.map a.spot:hover, .map a.spot:focus-visible { background: var(--second); z-index: 2; }

.tiles { display: grid; grid-template-columns: repeat(4, 1fr); gap: 1px; margin: 2rem 0 0;
  background: var(--line); border: 1px solid var(--line); border-radius: .6rem; overflow: hidden; }
.tiles div { background: var(--card); padding: 1rem 1.1rem; }
.tiles dt { color: var(--soft); font-size: .84rem; }
.tiles dd { margin: .1rem 0 0; font: 600 1.7rem/1.2 var(--serif); font-variant-numeric: tabular-nums; }

.scroll { overflow-x: auto; margin-top: 1.25rem; border: 1px solid var(--line); border-radius: .6rem;
  background: var(--card); }
table { border-collapse: collapse; width: 100%; font-size: .9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding: .8rem 1rem 0; }
th, td { text-align: left; padding: .5rem 1rem; border-top: 1px solid var(--line); vertical-align: top; }
thead th { border-top: 0; color: var(--soft); font-weight: 600; font-size: .82rem; vertical-align: bottom; }
thead tr + tr th { padding-top: 0; }
tbody th { font-weight: 500; white-space: nowrap; }
td.figure, th.figure { text-align: right; white-space: nowrap; }
td.figure .interval { display: block; color: var(--soft); font-size: .78rem; }
tr.ignorant { color: var(--soft); }
.best { font-weight: 700; color: var(--accent); }

.panels { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 27rem), 1fr)); gap: 1.5rem 3rem; }
.panels > * { min-width: 0; }
.dots { margin-top: .7rem; display: grid; grid-template-columns: max-content 1fr max-content; font-size: .86rem; }
.dots > div { display: grid; grid-template-columns: subgrid; grid-column: 1 / -1; align-items: center; }
.dots .name { padding: .22rem .9rem .22rem 0; }
.dots .value { padding-left: .9rem; font-variant-numeric: tabular-nums; }
.dots .rail { position: relative; align-self: stretch; min-height: 1.6rem; }
.rail .grid { position: absolute; top: 0; bottom: 0; width: 1px; background: var(--line); }
.rail .chance { position: absolute; top: 0; bottom: 0; width: 0; border-left: 2px dotted var(--quiet); }
.rail .span { position: absolute; top: calc(50% - 2px); height: 4px; border-radius: 2px; background: var(--quiet);
  opacity: .55; }
.rail .dot { position: absolute; top: calc(50% - 6px); width: 12px; height: 12px; margin-left: -6px;
  border-radius: 50%; background: var(--quiet); border: 2px solid var(--paper); }
.ours .span, .ours .dot { background: var(--accent); }
.ours .name { color: var(--accent); }
.ignorant .name, .ignorant .value { color: var(--soft); }
.dots .ticks { position: relative; height: 1.4rem; color: var(--soft); font-size: .76rem; }
.ticks span { position: absolute; transform: translateX(-50%); }

.chart { position: relative; height: 13rem; margin: .9rem 0 1.6rem 3.2rem; border-bottom: 1px solid var(--line); }
.chart svg { position: absolute; inset: 0; width: 100%; height: 100%; overflow: visible; }
.chart polyline { fill: none; stroke: currentColor; stroke-width: 2.25; vector-effect: non-scaling-stroke;
  stroke-linejoin: round; stroke-linecap: round; }
.chart .mark { position: absolute; width: 9px; height: 9px; margin: -4.5px; border-radius: 50%;
  background: currentColor; }
.chart .ytick { position: absolute; left: -3.2rem; width: 2.8rem; text-align: right; transform: translateY(-50%);
  font-size: .76rem; color: var(--soft); font-variant-numeric: tabular-nums; }
.chart .yline { position: absolute; left: 0; right: 0; height: 1px; background: var(--line); }
.chart .xtick { position: absolute; top: calc(100% + .3rem); transform: translateX(-50%); font-size: .76rem;
  color: var(--soft); }
.first { color: var(--accent); } .other { color: var(--second); }
.key { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; font-size: .86rem; margin-top: .3rem; }
.key span::before { content: ""; display: inline-block; width: 1.3em; height: 3px; margin-right: .5em;
  vertical-align: middle; border-radius: 2px; background: currentColor; }
.key b { color: var(--ink); font-weight: 500; }

.columns { display: flex; align-items: flex-end; gap: 1px; height: 9rem; margin-top: .9rem;
  border-bottom: 1px solid var(--line); }
.columns span { flex: 1 1 0; min-width: 0; background: var(--accent); border-radius: 2px 2px 0 0; opacity: .45; }
.columns span.strong { opacity: 1; }
.ends { display: flex; justify-content: space-between; font-size: .76rem; color: var(--soft); margin-top: .3rem; }

.bars { display: grid; grid-template-columns: minmax(5rem, max-content) 1fr max-content; gap: .25rem .8rem;
  align-items: center; font-size: .88rem; margin: .7rem 0 0; }
.bars > div { display: contents; }
.bars dt { overflow-wrap: anywhere; max-width: 12rem; }
.bars dd { margin: 0; }
.bars .fill { height: .6rem; border-radius: .3rem; background: var(--accent); opacity: .75; min-width: 2px; }
.bars .n { font-variant-numeric: tabular-nums; color: var(--soft); text-align: right; }

.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 20rem), 1fr)); gap: 1.25rem;
  margin-top: 1.75rem; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: .8rem; padding: 1.1rem 1.2rem 1.25rem;
  display: flex; flex-direction: column; gap: .9rem; min-width: 0; }
.card header { display: flex; justify-content: space-between; align-items: baseline; gap: 1rem; }
.card header .soft { font-size: .86rem; white-space: nowrap; }
.share { height: .35rem; border-radius: .2rem; background: var(--wash); margin-top: .55rem; overflow: hidden; }
.share div { height: 100%; background: var(--accent); }
.chips { display: flex; flex-wrap: wrap; gap: .35rem; list-style: none; margin: .4rem 0 0; padding: 0; }
.chips li { background: var(--wash); border-radius: 1rem; padding: .12rem .7rem; font-size: .86rem; }
.chips .soft { font-size: .78rem; white-space: nowrap; }
.traits { display: grid; grid-template-columns: max-content 1fr max-content; gap: .2rem .7rem; align-items: center;
  margin: .4rem 0 0; font-size: .82rem; }
.traits > div { display: contents; }
.traits dd { margin: 0; }
.traits .meter { position: relative; height: .35rem; border-radius: .2rem; background: var(--line); }
.traits .meter::before { content: ""; position: absolute; left: 50%; top: -.15rem; bottom: -.15rem; width: 1px;
  background: var(--quiet); }
.traits .meter i { position: absolute; top: 0; bottom: 0; border-radius: .2rem; background: var(--accent); }
.listen { list-style: none; margin: .4rem 0 0; padding: 0; display: grid; gap: .8rem; }
.listen audio { display: block; width: 100%; height: 2.4rem; margin-top: .25rem; }
.listen .song { font-weight: 600; font-size: .9rem; line-height: 1.35; }
.listen .where { font-size: .8rem; color: var(--soft); line-height: 1.4; }
.notes { padding-left: 1.1rem; margin: .8rem 0 0; max-width: 46rem; }
.notes li { margin-bottom: .3rem; }
details { margin-top: 1.25rem; }
summary { cursor: pointer; font-weight: 600; }
footer { border-top: 1px solid var(--line); margin-top: 4rem; padding-top: 1.25rem; }
@media (max-width: 34rem) {
  .tiles { grid-template-columns: 1fr 1fr; }
  header.page { padding-top: 2rem; }
  section { padding-top: 2.75rem; }
  th, td { padding: .45rem .7rem; }
  .dots { grid-template-columns: 1fr max-content; }
  .dots .name { grid-column: 1 / -1; padding-bottom: 0; margin-bottom: -.15rem; }
  .dots .rail, .dots .ticks { grid-column: 1; }
  .dots .value { grid-column: 2; }
}
@media print { nav, audio { display: none; } .card { break-inside: avoid; } }
"""
