"""Progress of a job: a bar with rate and time left on a terminal, one line every 30 seconds in a log."""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

LOG_SECONDS = 30.0
log = logging.getLogger(__name__)

# The only writer to the terminal: a bar and log lines that share it do not overwrite each other.
console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


class Progress:
    """Counts units of work: `with Progress(215, "tracks", "extract") as bar: bar.advance(3, bad=1)`.

    Figures are shown as last given. Of a job that continues, `done` units were done before; they have no part in
    the rate.
    """

    def __init__(self, total: int, unit: str, label: str, done: int = 0) -> None:
        self.total, self.unit, self.label = total, unit, label
        self.done = self._before = done
        self.figures: dict[str, object] = {}
        self._started = self._logged = time.monotonic()
        self._bar = _bar() if console.is_terminal else None

    def __enter__(self) -> "Progress":
        if self._bar:
            self._bar.start()
            self._task = self._bar.add_task(self.label, total=self.total, completed=self.done, text="")
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()
        self._tell()

    def advance(self, n: int = 1, **figures: object) -> None:
        """`n` more units are done; `figures` are shown beside the count."""
        self.done += n
        self.figures.update(figures)
        now = time.monotonic()
        if self._bar:
            self._bar.update(self._task, completed=self.done, text=self._text())
        if now - self._logged >= LOG_SECONDS:
            self._logged = now
            self._tell()

    @property
    def rate(self) -> float:
        """Units per second since the start."""
        return (self.done - self._before) / self.elapsed

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return max(time.monotonic() - self._started, 1e-9)

    def line(self) -> str:
        """The state as one line."""
        left = "" if self.done >= self.total or not self.rate else f", {self._left()} left"
        return f"{self.label}: {self.done}/{self.total} {self._text()}{left}"

    def _tell(self) -> None:
        """One line for the run's log, and for a console that has no bar or has it no more."""
        line = self.line()
        log.info("%s", line, extra={"shown": True})
        if not (self._bar and self._bar.live.is_started):
            console.print(line)

    def _text(self) -> str:
        return "  ".join([f"{self.unit} {_number(self.rate)}/s", *_pairs(self.figures)])

    def _left(self) -> str:
        seconds = int((self.total - self.done) / self.rate)
        return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"


@contextmanager
def waiting(text: str) -> Iterator[None]:
    """A spinner on a terminal while something takes seconds; nothing in a log."""
    if not console.is_terminal:
        yield
        return
    with console.status(text):
        yield


def _bar() -> RichProgress:
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    return RichProgress(*columns, TextColumn("{task.fields[text]}"), TimeRemainingColumn(), console=console,
                        transient=True)  # fmt: skip


def _pairs(figures: Mapping[str, object]) -> list[str]:
    return [f"{name} {_number(value)}" for name, value in figures.items()]


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
