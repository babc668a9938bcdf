"""Where the marks of figures of a sound lie: its spectrum, its pitch classes, its dynamics, beside those of the corpus.

Places are percent of the box, as in evaluation.figures.geometry.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

WIDEST = 3.0  # standard deviations of the corpus, to both sides of its mean, that ranges are drawn over
_HERTZ = (500, 1000, 2000, 4000, 8000, 16000)  # on a mel scale lower ones crowd


@dataclass(frozen=True)
class SpectrumFigure:
    """A curve, the band of one deviation about it, and the corpus' curve as SVG paths; ticks: (x, frequency), levels:
    (y from the top, dB)."""

    description: str
    line: str
    band: str
    corpus: str
    ticks: tuple[tuple[float, str], ...]
    levels: tuple[tuple[float, str], ...]


@dataclass(frozen=True)
class PitchFigure:
    """A bar for each pitch class: (name, its left end, height, the corpus' height)."""

    description: str
    width: float
    bars: tuple[tuple[str, float, float, float], ...]


@dataclass(frozen=True)
class Range:
    """One deviation to both sides of a mean, on a scale where the corpus' reaches from corpus_left on."""

    name: str
    value: str
    at: float
    left: float
    width: float


@dataclass(frozen=True)
class RangeFigure:
    """Ranges on one scale; the corpus' is the same for all."""

    description: str
    ranges: tuple[Range, ...]
    corpus_left: float
    corpus_width: float


def spectrum(hertz: np.ndarray, own: np.ndarray, sd: np.ndarray, corpus: np.ndarray) -> SpectrumFigure:
    """Levels in dB of mel bands at these frequencies, all (band,)."""
    low, high = min((own - sd).min(), corpus.min()), max((own + sd).max(), corpus.max())
    step = next(s for s in (5, 10, 20, 50, 100, 200, 500) if (high - low) / s <= 5 or s == 500)
    low, high = step * np.floor(low / step), step * np.ceil(high / step)
    high = high if high > low else low + step
    x = 100 * (np.arange(len(hertz)) + 0.5) / len(hertz)

    def path(levels: np.ndarray, order: slice = slice(None)) -> str:
        y = 100 * (high - levels) / (high - low)
        return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x[order], y[order], strict=True))

    top = int(np.argmax(own - corpus))
    bottom = int(np.argmin(own - corpus))
    text = (
        f"Spectrum in dB by frequency. Highest next to all the music at {_in_hertz(hertz[top])} "
        f"({own[top] - corpus[top]:+.0f} dB), lowest at {_in_hertz(hertz[bottom])} "
        f"({own[bottom] - corpus[bottom]:+.0f} dB)."
    )
    shown = [f for f in _HERTZ if hertz[0] <= f <= hertz[-1]]
    places = np.interp(shown, hertz, x) if shown else []
    return SpectrumFigure(
        text,
        f"M{path(own)}",
        f"M{path(own + sd)} L{path(own - sd, slice(None, None, -1))}Z",
        f"M{path(corpus)}",
        tuple((round(float(at), 1), f"{f / 1000:g}") for at, f in zip(places, shown, strict=True)),
        tuple(
            (round(float(100 * (high - level) / (high - low)), 1), f"{level:.0f}")
            for level in np.arange(low, high + step / 2, step)
        ),
    )


def _in_hertz(frequency: float) -> str:
    return f"{frequency / 1000:.3g} kHz" if frequency >= 1000 else f"{frequency:.0f} Hz"


def pitches(names: Sequence[str], own: np.ndarray, corpus: np.ndarray) -> PitchFigure:
    """Energies of pitch classes, at least 0: own and corpus (pitch class,)."""
    scale = 100 / max(own.max(), corpus.max(), 1e-12)
    step = 100 / len(names)
    order = np.argsort(-own, kind="stable")[:3]
    text = f"Energy by pitch class. Most: {', '.join(names[int(i)] for i in order)}."
    bars = [
        (
            name,
            round(step * (i + 0.12), 2),
            round(float(scale * own[i]), 1),
            round(float(scale * corpus[i]), 1),
        )
        for i, name in enumerate(names)
    ]
    return PitchFigure(text, round(0.76 * step, 2), tuple(bars))


def ranges(rows: Sequence[tuple[str, str, float, float, float, float]]) -> RangeFigure:
    """Rows of (name, unit, mean, sd, mean and sd of the corpus), each drawn in deviations of the corpus."""
    made, told = [], []
    for name, unit, mean, sd, corpus_mean, corpus_sd in rows:
        scale = corpus_sd if corpus_sd > 0 else 1.0
        at, low, high = ((v - corpus_mean) / scale for v in (mean, mean - sd, mean + sd))
        left, right = _place(low), _place(high)
        value = _said(mean, sd, unit)
        made.append(Range(name, value, _place(at), left, round(right - left, 1)))
        told.append(f"{name} {value}, all the music {_said(corpus_mean, corpus_sd, unit)}")
    return RangeFigure(f"{'; '.join(told)}.", tuple(made), _place(-1.0), round(_place(1.0) - _place(-1.0), 1))


def _said(mean: float, sd: float, unit: str) -> str:
    """As many digits as the deviation leaves worth telling."""
    digits = next((n for n, least in enumerate((10, 1, 0.1, 0.01)) if sd >= least), 4)
    return f"{mean:.{digits}f} ± {sd:.{digits}f}{unit}"


def _place(deviation: float) -> float:
    return round(50 + 50 * max(-1.0, min(1.0, deviation / WIDEST)), 1)
