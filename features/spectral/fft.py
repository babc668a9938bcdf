"""Real Fourier transforms of eight frames side by side, in float64, compiled for the machine's own vectors.

A register holds one number of each of the eight frames (the lanes), so that every step of a transform is a step of
eight. No sum is reordered and nothing is fused: the result does not depend on the machine. The transform of n real
samples is that of n / 2 complex ones, decimated in time by four in place, whose halves are then told apart.

The loops are written for LLVM's vectoriser: over lanes innermost, with distances between rows that are known when
compiling. It gives up on tables of rows, on slices whose bounds it cannot see, and on rows that approach each other.
"""

from functools import lru_cache
from typing import Any

import numpy as np
from numba import njit
from numba.extending import overload
from numpy.typing import NDArray

LANES = 8
_ROW = 2 * LANES  # of the work space: the real parts of the lanes, then the imaginary ones


class Transform:
    """Windowed transforms of frames. Raises ValueError unless the window's length is a power of two from 32 on."""

    def __init__(self, window: NDArray[np.float64]) -> None:
        n_fft = len(window)
        if n_fft < 32 or n_fft & (n_fft - 1):
            raise ValueError(f"n_fft must be a power of two and at least 32, got {n_fft}")
        half = n_fft // 2
        self.n_bins = half + 1
        self._tables = (np.ascontiguousarray(window, np.float64), *_tables(n_fft))
        self._work = np.empty(half * _ROW)
        self._out = np.empty((0, self.n_bins, LANES), np.complex64)

    def __call__(self, samples: NDArray[np.float32], hop: int, n_groups: int) -> NDArray[np.complex64]:
        """(n_samples,) -> (n_groups, n_bins, LANES), rounded to complex64; frame 8 g + l begins at hop (8 g + l).

        The array is written over by the next call: memory that stays in the cache is twice as fast.
        """
        needed = (n_groups * LANES - 1) * hop + 2 * (self.n_bins - 1)
        if len(samples) < needed:
            raise ValueError(f"{n_groups} groups of frames need {needed} samples, got {len(samples)}")
        if len(self._out) < n_groups:
            self._out = np.empty((n_groups, self.n_bins, LANES), np.complex64)
        out = self._out[:n_groups]
        flat = out.view(np.float32).reshape(n_groups, self.n_bins * _ROW)
        _kernel(self.n_bins - 1)(samples, hop, *self._tables, self._work, flat)
        return out


@lru_cache(maxsize=8)
def _tables(n_fft: int) -> tuple[NDArray[Any], ...]:
    """Where each sample of a half starts from, the roots of the stages, and those that tell the halves apart."""
    half = n_fft // 2
    return _reversed_digits(half) * _ROW, _unit_roots(half, half), _unit_roots(n_fft, half // 2 + 1)


def _unit_roots(n: int, count: int) -> NDArray[np.float64]:
    """exp(-2 pi i j / n) for j < count: (count, 2)."""
    angles = -2.0 * np.pi * np.arange(count) / n
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _reversed_digits(n: int) -> NDArray[np.int64]:
    """The row in which sample i lies before the first stage, (n,)."""
    rows, size = np.zeros(1, np.int64), 1
    while size < n:
        radix = 4 if n // size >= 4 else 2
        size *= radix
        # Sample i = radix * q + r is the q-th of the r-th part.
        rows = (rows[:, None] + np.arange(radix) * (n // size)).T.ravel()
    return rows


@lru_cache(maxsize=8)
def _kernel(half: int) -> Any:
    """The compiled transform of 2 * half samples. Only a number is closed over: numba's cache is keyed by that."""

    @njit(cache=True, error_model="numpy")
    def transform(samples, hop, window, rows, roots, angles, work, out):  # type: ignore[no-untyped-def]
        for group in range(out.shape[0]):
            _load(samples[group * LANES * hop :], hop, window, rows, work)
            _stages(work, roots, half, half)
            _tell_apart(work, angles, out[group], half)

    return transform


@njit(cache=True, error_model="numpy")
def _load(samples, hop, window, rows, work):  # type: ignore[no-untyped-def]
    """Eight frames times the window: even samples are real parts, odd ones imaginary."""
    n = len(window)
    a, b, c, d = samples[:n], samples[hop : hop + n], samples[2 * hop :][:n], samples[3 * hop :][:n]
    e, f, g, h = (
        samples[4 * hop :][:n],
        samples[5 * hop :][:n],
        samples[6 * hop :][:n],
        samples[7 * hop :][:n],
    )
    for i in range(n):
        start = rows[i // 2] + (i % 2) * LANES
        lanes, factor = work[start : start + LANES], window[i]
        lanes[0], lanes[1], lanes[2], lanes[3] = a[i] * factor, b[i] * factor, c[i] * factor, d[i] * factor
        lanes[4], lanes[5], lanes[6], lanes[7] = e[i] * factor, f[i] * factor, g[i] * factor, h[i] * factor


def _stages(work: Any, roots: Any, size: int, half: int) -> None:
    """All stages that end with blocks of `size` rows; `size` is known when compiling."""


def _stage(work: Any, roots: Any, size: int, half: int) -> None:
    """Four blocks of a quarter become one of `size` rows, throughout."""


def _tell_apart(work: Any, angles: Any, out: Any, half: int) -> None:
    """The spectrum of real samples from that of even and odd ones, as complex numbers, bins in order."""


@overload(_stages, prefer_literal=True)
def _stages_of_size(work, roots, size, half):  # type: ignore[no-untyped-def]
    n, n_rows = size.literal_value, half.literal_value
    quarter = n // 4

    def nothing(work, roots, size, half):  # type: ignore[no-untyped-def]
        pass

    def pairs(work, roots, size, half):  # type: ignore[no-untyped-def]
        for block in range(0, n_rows * _ROW, 2 * _ROW):
            for i in range(_ROW):
                one, two = work[block + i], work[block + _ROW + i]
                work[block + i] = one + two
                work[block + _ROW + i] = one - two

    def fours(work, roots, size, half):  # type: ignore[no-untyped-def]
        _stages(work, roots, quarter, n_rows)
        _stage(work, roots, n, n_rows)

    return nothing if n == 1 else pairs if n == 2 else fours


@overload(_stage, prefer_literal=True)
def _stage_of_size(work, roots, size, half):  # type: ignore[no-untyped-def]
    n, n_rows = size.literal_value, half.literal_value
    quarter, far, every = n // 4, n // 4 * _ROW, n_rows // n

    def stage(work, roots, size, half):  # type: ignore[no-untyped-def]
        for block in range(0, n_rows, n):
            for j in range(quarter):
                step = j * every
                r1, i1 = roots[step, 0], roots[step, 1]
                r2, i2 = roots[2 * step, 0], roots[2 * step, 1]
                r3, i3 = roots[3 * step, 0], roots[3 * step, 1]
                at = (block + j) * _ROW
                for lane in range(LANES):
                    i = at + lane
                    a, a_ = work[i], work[i + LANES]
                    x, x_ = work[i + far], work[i + far + LANES]
                    b, b_ = x * r1 - x_ * i1, x * i1 + x_ * r1
                    x, x_ = work[i + 2 * far], work[i + 2 * far + LANES]
                    c, c_ = x * r2 - x_ * i2, x * i2 + x_ * r2
                    x, x_ = work[i + 3 * far], work[i + 3 * far + LANES]
                    d, d_ = x * r3 - x_ * i3, x * i3 + x_ * r3
                    ac, ac_, bd, bd_ = a + c, a_ + c_, b + d, b_ + d_
                    work[i] = ac + bd
                    work[i + LANES] = ac_ + bd_
                    work[i + 2 * far] = ac - bd
                    work[i + 2 * far + LANES] = ac_ - bd_
                    ac, ac_, bd, bd_ = a - c, a_ - c_, b - d, b_ - d_
                    work[i + far] = ac + bd_
                    work[i + far + LANES] = ac_ - bd
                    work[i + 3 * far] = ac - bd_
                    work[i + 3 * far + LANES] = ac_ + bd

    return stage


@overload(_tell_apart, prefer_literal=True)
def _tell_apart_of_size(work, angles, out, half):  # type: ignore[no-untyped-def]
    n_rows = half.literal_value

    def tell_apart(work, angles, out, half):  # type: ignore[no-untyped-def]
        for k in range(1, n_rows // 2 + 1):
            r, i = angles[k, 0], angles[k, 1]
            one, two = k * _ROW, (n_rows - k) * _ROW
            for lane in range(LANES):
                a, a_ = work[one + lane], work[one + LANES + lane]
                b, b_ = work[two + lane], work[two + LANES + lane]
                even, even_ = 0.5 * (a + b), 0.5 * (a_ - b_)
                odd, odd_ = 0.5 * (a_ + b_), 0.5 * (b - a)
                turned, turned_ = odd * r - odd_ * i, odd * i + odd_ * r
                out[one + 2 * lane] = even + turned
                out[one + 2 * lane + 1] = even_ + turned_
                out[two + 2 * lane] = even - turned
                out[two + 2 * lane + 1] = turned_ - even_
        for lane in range(LANES):
            last = n_rows * _ROW + 2 * lane
            out[2 * lane] = work[lane] + work[LANES + lane]
            out[last] = work[lane] - work[LANES + lane]
            out[2 * lane + 1] = out[last + 1] = 0.0

    return tell_apart
