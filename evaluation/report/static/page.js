// What moves on the pages: one-button players, the timeline that follows a song, the search box. No dependencies.
"use strict";

const up = document.documentElement.dataset.up;
const all = (query) => [...document.querySelectorAll(query)];
const clock = (t) => `${Math.floor(t / 60)}:${String(Math.floor(t % 60)).padStart(2, "0")}`;

document.addEventListener("play", (event) => {
  for (const audio of all("audio")) if (audio !== event.target) audio.pause();
}, true);

for (const holder of all(".player")) {
  const audio = holder.querySelector("audio");
  const button = document.createElement("button");
  const label = audio.getAttribute("aria-label");
  const ring = (share) => button.style.setProperty("--done", `${360 * share}deg`);
  const show = () => {
    button.className = audio.paused ? "play" : "play on";
    button.setAttribute("aria-label", `${audio.paused ? "Play" : "Stop"} ${label}`);
  };
  button.type = "button";
  button.addEventListener("click", () => {
    if (audio.paused) audio.play().catch(() => holder.classList.add("broken"));
    else audio.pause();
  });
  audio.addEventListener("timeupdate", () => ring(audio.duration ? audio.currentTime / audio.duration : 0));
  for (const name of ["play", "pause", "ended"]) audio.addEventListener(name, show);
  audio.addEventListener("pause", () => { audio.currentTime = 0; });
  audio.controls = false;
  show();
  holder.prepend(button);
}

const line = document.querySelector(".timeline");
const song = document.getElementById("song");
if (line && song) {
  const lanes = line.querySelector(".lanes");
  const playhead = line.querySelector(".playhead");
  const seconds = Number(line.dataset.seconds);
  const step = Number(line.dataset.step);
  const heads = all(".heads li").map((item) => [item, item.dataset.shares.split(" ").map(Number)]);
  const draw = () => {
    const now = Math.min(song.currentTime, seconds);
    playhead.style.left = `${100 * now / seconds}%`;
    lanes.setAttribute("aria-valuenow", Math.round(now));
    lanes.setAttribute("aria-valuetext", clock(now));
    for (const [item, shares] of heads) {
      const share = shares[Math.min(Math.floor(now / step), shares.length - 1)];
      item.style.setProperty("--now", share / 100);
      item.classList.toggle("now", !song.paused && share >= 30);
    }
    if (!song.paused) requestAnimationFrame(draw);
  };
  const seek = (time) => {
    song.currentTime = Math.max(0, Math.min(seconds - 0.1, time));
    draw();
  };
  // A server that cannot send a part of a file leaves a browser unable to jump: then the whole song is kept here.
  const keep = async () => {
    if (song.seekable.length && song.seekable.end(0) > 0) return;
    const whole = await (await fetch(song.src)).blob();
    const [time, playing] = [song.currentTime, !song.paused];
    song.src = URL.createObjectURL(whole);
    song.currentTime = time;
    if (playing) song.play();
  };
  if (location.protocol !== "file:") {
    if (song.readyState) keep();
    else song.addEventListener("loadedmetadata", keep, { once: true });
  }
  const moves = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 10, PageDown: -10 };
  for (const name of ["play", "pause", "seeked", "ended"]) song.addEventListener(name, draw);
  lanes.addEventListener("pointerdown", (event) => {
    const box = lanes.getBoundingClientRect();
    const drag = (e) => seek(seconds * (e.clientX - box.left) / box.width);
    drag(event);
    lanes.setPointerCapture(event.pointerId);
    lanes.addEventListener("pointermove", drag);
    const stop = () => lanes.removeEventListener("pointermove", drag);
    for (const name of ["pointerup", "pointercancel"]) lanes.addEventListener(name, stop, { once: true });
  });
  lanes.addEventListener("keydown", (event) => {
    if (event.key in moves) seek(song.currentTime + moves[event.key]);
    else if (event.key === "Home") seek(0);
    else if (event.key === "End") seek(seconds);
    else if (event.key === " ") song.paused ? song.play() : song.pause();
    else return;
    event.preventDefault();
  });
  draw();
}

const plain = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").replace(/_/g, " ").toLowerCase();
const entries = SEARCH.map(([kind, title, words, path]) => {
  return { kind, title, words, path, name: plain(title), text: plain(`${title} ${words}`) };
});

function find(query) {
  const words = plain(query).split(/\s+/).filter(Boolean);
  if (!words.length) return [];
  const whole = words.join(" ");
  const rank = (e) => {
    if (e.name === whole || e.name === `component ${whole}`) return 0;
    return e.name.startsWith(whole) ? 1 : words.every((word) => e.name.includes(word)) ? 2 : 3;
  };
  const found = entries.filter((e) => words.every((word) => e.text.includes(word)));
  return found.map((e, i) => [rank(e), i, e]).sort((a, b) => a[0] - b[0] || a[1] - b[1]).slice(0, 8).map((x) => x[2]);
}

const input = document.getElementById("search");
const list = document.getElementById("found");
let active = -1;

function element(name, text, className) {
  const made = document.createElement(name);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

function mark(index) {
  const options = [...list.querySelectorAll("[role=option]")];
  active = options.length ? (index + options.length) % options.length : -1;
  options.forEach((option, i) => option.setAttribute("aria-selected", i === active));
  if (active >= 0) input.setAttribute("aria-activedescendant", options[active].id);
  else input.removeAttribute("aria-activedescendant");
}

function close() {
  list.hidden = true;
  input.setAttribute("aria-expanded", "false");
  mark(0);
}

function show() {
  const found = find(input.value);
  list.replaceChildren(...found.map((entry, i) => {
    const option = document.createElement("li");
    option.id = `found-${i}`;
    option.setAttribute("role", "option");
    const link = element("a", "", "");
    link.href = up + entry.path;
    link.tabIndex = -1;
    link.append(element("b", entry.title), element("span", entry.words));
    option.append(link);
    return option;
  }));
  if (!found.length) list.append(element("li", "Nothing found", "soft"));
  list.hidden = !input.value.trim();
  input.setAttribute("aria-expanded", String(!list.hidden));
  mark(0);
}

input.closest(".search").hidden = false;
input.addEventListener("input", show);
input.addEventListener("focus", show);
input.addEventListener("blur", () => setTimeout(close, 200));
input.addEventListener("keydown", (event) => {
  if (event.key === "ArrowDown") mark(active + 1);
  else if (event.key === "ArrowUp") mark(active - 1);
  else if (event.key === "Enter") list.querySelector("[aria-selected=true] a")?.click();
  else if (event.key === "Escape") { input.value = ""; close(); }
  else return;
  event.preventDefault();
});
document.addEventListener("keydown", (event) => {
  const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    input.focus();
  }
});
