"""The report: one HTML file that needs nothing else, opens from disk, and runs no script.

Its content security policy forbids every request, so that a hostile file name has nothing to gain either.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evaluation import page_components, page_corpus, page_scores
from evaluation.compare import CHANCE, Summary
from evaluation.component_map import Spot
from evaluation.figures import curves
from evaluation.interpret import carrying
from evaluation.look import CSS
from evaluation.markup import Html, html, join
from evaluation.page_components import Card
from evaluation.page_corpus import Corpus, duration

POLICY = "default-src 'none'; style-src 'unsafe-inline'; media-src data:; form-action 'none'; base-uri 'none'"
PARTS = (
    ("components", "What it found"),
    ("scores", "How much it knows"),
    ("training", "How it learnt"),
    ("corpus", "What it was given"),
)


@dataclass(frozen=True)
class Epoch:
    """One pass of training: bound and held-out log-likelihood in nats per frame, components in use.

    is_model: the state after it is the model that the page is about.
    """

    epoch: int
    bound: float
    heldout: float | None
    components: int
    is_model: bool = False


@dataclass(frozen=True)
class Report:
    """Everything the page shows. `inputs` is a digest of what the page was made from.

    usage: (component,) share of all frames; spots: the components that carry 99 %, on the map.
    notes: (task, what was left out).
    """

    model: str
    made: str
    inputs: str
    corpus: Corpus
    epochs: tuple[Epoch, ...]
    summaries: tuple[Summary, ...]
    notes: tuple[tuple[str, str], ...]
    usage: np.ndarray
    cards: tuple[Card, ...]
    spots: tuple[Spot, ...] = ()


def render(report: Report) -> bytes:
    """The page as UTF-8 bytes."""
    links = join(html('<li><a href="#{}">{}</a></li>', anchor, title) for anchor, title in PARTS)
    body = join(
        [
            page_components.section(report.cards, report.usage, report.corpus.n_songs, report.spots),
            page_scores.section(report.summaries, report.notes),
            _training(report.epochs),
            page_corpus.section(report.corpus),
        ]
    )
    page = html(
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" content="{policy}"><meta name="referrer" content="no-referrer">'
        '<meta name="hdpgmm-inputs" content="{inputs}">'
        "<title>What the model heard in {corpus}</title><style>{css}</style></head><body>"
        '<a class="skip" href="#components">Skip to the content</a>{head}'
        '<nav aria-label="Parts of this page"><ul>{links}</ul></nav><main class="page">{body}</main>'
        '<footer class="page small soft">Model {model}, corpus {corpus}. Made {made} UTC by hdpgmm. '
        "This file is complete: it loads nothing from anywhere.</footer></body></html>\n",
        policy=POLICY, corpus=report.corpus.name, css=Html(CSS), head=_head(report), links=links, body=body,
        model=report.model, made=report.made, inputs=report.inputs,
    )  # fmt: skip
    return page.encode("utf-8", errors="replace")


def inputs_of(page: bytes) -> str | None:
    """The digest of what a page was made from, None if it is no page of ours."""
    found = re.search(rb'<meta name="hdpgmm-inputs" content="([^"]*)">', page[:4096])
    return found[1].decode() if found else None


def _head(report: Report) -> Html:
    corpus = report.corpus
    tiles = [
        ("Songs", f"{corpus.n_songs:,}"),
        ("Music", duration(corpus.seconds)),
        ("Components in use", f"{carrying(report.usage)}"),
        ("Files set aside", f"{len(corpus.quarantined):,}"),
    ]
    return html(
        '<header class="page"><h1>What the model heard</h1><p class="lead">{}</p><dl class="tiles">{}</dl></header>',
        _sentence(report), join(html("<div><dt>{}</dt><dd>{}</dd></div>", name, value) for name, value in tiles),
    )  # fmt: skip


def _sentence(report: Report) -> str:
    start = (
        f"An HDPGMM listened to {duration(report.corpus.seconds)} of music without being told anything about it, "
        f"and sorted what it heard into {carrying(report.usage)} recurring kinds of sound."
    )
    plain = [
        s
        for s in report.summaries
        if s.representation.startswith(page_scores.OURS) and s.metric in page_scores.PLAIN_METRICS
    ]
    if not plain:
        return start
    best = max((s for s in plain if s.task == plain[0].task), key=lambda s: s.mean)
    return f"{start} {page_scores.in_words(best, _chance_of(best, report.summaries))}"


def _chance_of(row: Summary, summaries: Sequence[Summary]) -> float | None:
    same = [s for s in summaries if (s.representation, s.task, s.metric) == (CHANCE, row.task, row.metric)]
    return same[0].mean if same else None


def _training(epochs: Sequence[Epoch]) -> Html:
    if not epochs:
        return html(
            '<section id="training"><h2>How it learnt</h2><p>There is no training history.</p></section>'
        )
    model = next((epoch for epoch in epochs if epoch.is_model), epochs[-1])
    lines = [("bound, songs it learns from", "first", [e.bound for e in epochs])]
    heldout: list[float | None] = [e.heldout for e in epochs]
    drawn = (
        [*lines, ("score, songs kept aside", "other", heldout)]
        if any(h is not None for h in heldout)
        else lines
    )
    fit = f"The model, after epoch {model.epoch} of {len(epochs)}: bound {model.bound:.2f} nats per frame" + (
        f", held-out {model.heldout:.2f}" if model.heldout is not None else ""
    )
    used = f"In the model, {model.components} components carry 99 % of the weight"
    return html(
        '<section id="training"><h2>How it learnt</h2><p>In every epoch the model goes through all songs once. '
        "Higher is better on the left: the sounds surprise it less. The bound is what training pushes up, a cautious "
        "estimate; the score of songs kept aside shows whether what it learns is general.</p>"
        '<div class="panels"><figure><h3>How well it explains a frame, nats</h3>{}<figcaption>{}.</figcaption>'
        "</figure><figure><h3>Components in use</h3>{}<figcaption>{}.</figcaption></figure></div></section>",
        curves(drawn, 1, f"Curve over epochs. {fit}."), fit,
        curves([("carry 99 % of the weight", "first", [float(e.components) for e in epochs])], 0, f"Curve. {used}."),
        used,
    )  # fmt: skip
