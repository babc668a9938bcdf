"""The pages in a real browser, headless: from the disk and from a plain web server, on a desk and on a phone."""

import functools
import http.server
import os
import re
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Request, Response, sync_playwright

from jobs.report import job as report
from tests.jobs.report.audio_roots import add_study, config_of, write_audio_root

FLAGS = ["--no-sandbox", "--autoplay-policy=user-gesture-required", "--mute-audio"]
PHONE = {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark", "has_touch": True}
DESK = {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"}


@dataclass
class Visit:
    """A page in a browser, with its console messages and requests."""

    page: Page
    start: str
    messages: list[str] = field(default_factory=list)
    requested: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.page.on("console", lambda message: self.messages.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.messages.append(f"error: {error}"))
        self.page.on("request", self._request)
        self.page.on("response", self._response)
        self.page.goto(self.start)

    def open(self, path: str) -> None:
        self.page.goto(self.start.replace("index.html", path))

    def until(self, expression: str) -> None:
        """Wait until it holds; the policy of the pages forbids playwright's own way."""
        for _ in range(300):
            if self.page.evaluate(expression):
                return
            self.page.wait_for_timeout(100)
        pytest.fail(f"never: {expression}")

    def _request(self, request: Request) -> None:
        if not request.url.startswith(("data:", "blob:")):
            self.requested.add(request.url)

    def _response(self, response: Response) -> None:
        if response.status >= 400:
            self.messages.append(f"{response.status}: {response.url}")


def chromium() -> str:
    """Where Debian's chromium is; `make test` installs it where it can."""
    found, system = shutil.which("chromium"), Path("/etc/os-release")
    if found is None and os.geteuid() == 0 and system.exists() and "\nID=debian\n" in system.read_text():
        pytest.fail("chromium is not installed: make browser")
    if found is None:
        pytest.skip(
            "needs Debian's chromium, which only root on Debian can install: apt-get install chromium"
        )
    return found


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        root = write_audio_root(tmp_path_factory.mktemp("pages"), patch)
        add_study(root)
        report.run(config_of(root))
        yield root / "report"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = chromium()
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=path, args=FLAGS)


@pytest.fixture(params=["disk, phone, dark", "server, desk, light"])
def visit(request: pytest.FixtureRequest, folder: Path, browser: Browser) -> Iterator[Visit]:
    """The first page, from file:// or from http.server on 127.0.0.1; at the end nothing may have gone wrong."""
    disk = request.param.startswith("disk")
    context = browser.new_context(**(PHONE if disk else DESK))
    if disk:
        served, start = None, (folder / "index.html").as_uri()
    else:
        served = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))
        )
        threading.Thread(target=served.serve_forever, daemon=True).start()
        start = f"http://127.0.0.1:{served.server_port}/index.html"
    visit = Visit(context.new_page(), start)
    yield visit
    context.close()
    if served is not None:
        served.shutdown()
    assert visit.messages == []
    assert all(url.startswith(start.removesuffix("index.html")) for url in visit.requested)


def test_the_figure_of_a_study_is_shown(visit: Visit):
    visit.page.goto(visit.start.replace("index.html", "scores.html"))
    figure = visit.page.locator("figure.study img")
    figure.scroll_into_view_if_needed()
    visit.page.wait_for_function("document.querySelector('figure.study img').naturalWidth > 100")


def test_every_link_opens_and_nothing_is_wider_than_the_screen(visit: Visit, folder: Path):
    todo, seen = [visit.start], set()
    while todo:
        here = todo.pop()
        if here in seen:
            continue
        seen.add(here)
        visit.page.goto(here)
        width, screen, heading = visit.page.evaluate(
            "[document.documentElement.scrollWidth, innerWidth, document.querySelectorAll('h1').length]"
        )
        assert width <= screen, here
        assert heading == 1
        links = visit.page.evaluate(
            "[...document.querySelectorAll('a[href]')].map(a => a.href?.baseVal ?? a.href)"
        )
        found = visit.page.evaluate("links => links.map(link => new URL(link, location).href)", links)
        todo += [link.partition("#")[0] for link in found]
    pages = {path.relative_to(folder).as_posix() for path in folder.rglob("*.html")}
    assert {url.removeprefix(visit.start.removesuffix("index.html")) for url in seen} == pages


def test_a_button_plays_a_component_and_only_one_sound_at_a_time(visit: Visit):
    visit.open("component/0.html")
    buttons = visit.page.get_by_role("button", name="Play Component 0")
    assert buttons.count() == 3
    buttons.first.focus()
    visit.page.keyboard.press("Enter")
    visit.until("document.querySelector('audio').currentTime > 0.3")
    assert (
        visit.page.evaluate("getComputedStyle(document.querySelector('.play')).getPropertyValue('--done')")
        != "0deg"
    )
    visit.page.locator(".player button").nth(1).click()
    visit.until("document.querySelectorAll('audio')[1].currentTime > 0.2")
    paused = visit.page.evaluate("[...document.querySelectorAll('audio')].map(a => a.paused)")
    assert paused == [True, False, True]


def left(visit: Visit) -> float:
    return float(visit.page.evaluate("parseFloat(document.querySelector('.playhead').style.left)"))


def test_the_play_head_follows_the_song_and_keys_and_clicks_move_it(visit: Visit):
    visit.open("song/1.html")
    lanes = visit.page.locator(".lanes")
    visit.until(
        "document.getElementById('song').seekable.length > 0 && document.getElementById('song').seekable.end(0) > 7"
    )
    assert left(visit) == 0
    lanes.focus()
    visit.page.keyboard.press("Space")
    visit.until("document.getElementById('song').currentTime > 0.5")
    assert 4 < left(visit) < 60
    visit.page.keyboard.press("Space")
    assert visit.page.evaluate("document.getElementById('song').paused")
    visit.page.keyboard.press("Home")
    visit.page.keyboard.press("ArrowRight")
    assert left(visit) == pytest.approx(100 / 8, abs=0.5)
    box = lanes.bounding_box()
    assert box is not None
    visit.page.mouse.click(box["x"] + 0.7 * box["width"], box["y"] + 20)
    assert left(visit) == pytest.approx(70, abs=2)
    assert lanes.get_attribute("aria-valuetext") == "0:05"
    visit.page.keyboard.press("Space")
    visit.until("document.getElementById('song').currentTime > 5.8")
    assert left(visit) > 70
    now = visit.page.locator(".heads .now")
    assert re.fullmatch(r"0.*", (now.text_content() or "").strip())


def test_search_finds_by_keyboard(visit: Visit):
    visit.open("song/1.html")
    visit.page.keyboard.press("/")
    visit.page.keyboard.type("tag")
    found = visit.page.get_by_role("option")
    assert found.count() > 1
    visit.page.keyboard.press("Escape")
    assert not found.first.is_visible()
    visit.page.keyboard.type("nobody has this")
    assert visit.page.get_by_text("Nothing found").is_visible()
    visit.page.keyboard.press("Escape")
    visit.page.keyboard.type("1")
    assert "Component 1" in (found.first.text_content() or "")
    visit.page.keyboard.press("Enter")
    visit.page.wait_for_url("**/component/1.html")
    visit.page.keyboard.press("/")
    visit.page.keyboard.type("sCOR")
    visit.page.keyboard.press("Enter")
    visit.page.wait_for_url("**/scores.html")


def test_colours_follow_the_scheme_and_every_circle_of_the_map_is_a_link(visit: Visit):
    visit.open("components.html")
    paper = visit.page.evaluate("getComputedStyle(document.body).backgroundColor")
    dark = max(map(int, re.findall(r"\d+", paper))) < 60
    assert dark == visit.start.startswith("file")
    fill = "[...document.querySelectorAll('circle')].map(c => getComputedStyle(c).fill)"
    assert len(set(visit.page.evaluate(fill))) == 3
    visit.page.locator(".map a").first.focus()
    visit.page.keyboard.press("Enter")
    visit.page.wait_for_url("**/component/*.html")
