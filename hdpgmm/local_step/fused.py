"""`direct_assignment` on a GPU: all rounds of a song are one program's, in one kernel.

Launched one after the other, a round's hundred small operations take longer to start than to run, and whether a song
is finished has to be asked of the host. Here a song's log-likelihoods stay in the chip's cache, its sums are float64
beyond a tile of frames, and nothing waits. Songs lie one after the other, of any length: there is no padding.

Triton comes with torch's CUDA builds; nothing else imports it, and without it songs are inferred side by side.
"""

# pyright: reportCallIssue=false, reportArgumentType=false, reportOperatorIssue=false, reportGeneralTypeIssues=false
# Kernels are written in another language than the Python they look like.

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from hdpgmm.local_step.direct_assignment import LEAST, NEGLIGIBLE
from hdpgmm.local_step.posterior import LOWEST, LocalOptions, largest

_WARPS = 4
_TILE_COMPS = 32


@dataclass(frozen=True)
class Songs:
    """Songs of a chunk of frames: start, length (song,) int64 on the device, all with frames."""

    start: Tensor
    length: Tensor


@dataclass(frozen=True)
class Found:
    """q of songs. comps (song, atom) int64; weight, counts (song, atom), bound (song,) float64; rounds (song,).

    counts are those of q(pi), 0 for atoms not in use. The responsibilities are where the caller wanted them.
    """

    comps: Tensor
    weight: Tensor
    counts: Tensor
    bound: Tensor
    rounds: Tensor


def supported(log_lik: Tensor, songs: Songs, log_beta: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """`posterior.supported` of log_lik (comp, frame), whose rows are contiguous: shares and comps (song, most)."""
    n_comp, n_frames = log_lik.shape
    normaliser = log_lik.new_empty(n_frames)
    shares = torch.empty(len(songs.start), n_comp, dtype=torch.float64, device=log_lik.device)
    frames = 32 * _WARPS
    with torch.cuda.device_of(log_lik):  # kernels start on the current device
        _normalisers[(triton.cdiv(n_frames, frames),)](
            log_lik, log_beta, normaliser, n_frames, log_lik.stride(0), n_comp,
            COMPS=_TILE_COMPS, FRAMES=frames, num_warps=_WARPS,
        )  # fmt: skip
        _shares[(len(songs.start), triton.cdiv(n_comp, _TILE_COMPS))](
            log_lik, log_beta, normaliser, songs.start, songs.length, shares, log_lik.stride(0), n_comp,
            COMPS=_TILE_COMPS, FRAMES=frames, num_warps=_WARPS,
        )  # fmt: skip
    return largest(shares, most)


def ascend(
    log_lik: Tensor,
    songs: Songs,
    comps: Tensor,
    shares: Tensor,
    log_beta: Tensor,
    alpha0: float,
    options: LocalOptions,
    zeta: Tensor,
    places: Tensor,
) -> Found:
    """`hdpgmm.local_step.direct_assignment.ascend` from log_lik (comp, frame), comps and shares (song, atom).

    Responsibilities are written into `zeta` at places (song, atom) + 0, 1, ... frames of the song, elements from its
    start; those of atoms that are not in use are left as they are.
    """
    comps, places, n_atoms = comps.contiguous(), places.contiguous(), comps.shape[1]
    counts = shares * (songs.length / shares.sum(1))[:, None]
    sums, shifts = (
        counts.where(counts > NEGLIGIBLE, 0.0).contiguous(),
        torch.empty_like(counts, dtype=log_lik.dtype),
    )
    weight = alpha0 * log_beta.double()[comps].exp().clamp(min=LEAST)
    alpha, counts = torch.full_like(weight[:1, 0], alpha0), torch.empty_like(weight)
    bound, rounds = torch.empty_like(counts[:, 0]), torch.empty_like(songs.length)
    with torch.cuda.device_of(log_lik):
        _ascend[(len(comps),)](
            log_lik, comps, weight, sums, shifts, songs.start, songs.length, zeta, places, alpha,
            counts, bound, rounds, log_lik.stride(0), n_atoms, options.tolerance, options.max_refreshes,
            options.sweeps, NEGLIGIBLE, LOWEST,
            ATOMS=triton.next_power_of_2(n_atoms), FRAMES=32 * _WARPS, num_warps=_WARPS,
        )  # fmt: skip
    return Found(comps, weight, counts, bound, rounds)


@triton.jit
def _normalisers(log_lik, log_beta, out, n_frames, stride, n_comp, COMPS: tl.constexpr, FRAMES: tl.constexpr):
    """log sum_k exp(log_lik_kn + log_beta_k) of each frame n."""
    frames = tl.program_id(0).to(tl.int64) * FRAMES + tl.arange(0, FRAMES)
    inside = frames < n_frames
    largest = tl.full([FRAMES], float("-inf"), out.dtype.element_ty)
    total = tl.zeros([FRAMES], out.dtype.element_ty)
    for first in range(0, n_comp, COMPS):
        comps = first + tl.arange(0, COMPS)
        known = comps < n_comp
        at = log_lik + comps.to(tl.int64)[:, None] * stride + frames[None, :]
        logits = tl.load(at, mask=known[:, None] & inside[None, :], other=0.0)
        logits += tl.load(log_beta + comps, mask=known, other=0.0)[:, None]
        logits = tl.where(known[:, None], logits, float("-inf"))
        new = tl.maximum(largest, tl.max(logits, 0))
        total = total * tl.exp(largest - new) + tl.sum(tl.exp(logits - new[None, :]), 0)
        largest = new
    tl.store(out + frames, largest + tl.log(total), mask=inside)


@triton.jit
def _shares(
    log_lik, log_beta, normaliser, start, length, out, stride, n_comp,
    COMPS: tl.constexpr, FRAMES: tl.constexpr,
):  # fmt: skip
    """sum_n exp(log_lik_kn + log_beta_k - normaliser_n) over the frames of one song, of some components."""
    song = tl.program_id(0).to(tl.int64)
    comps = tl.program_id(1) * COMPS + tl.arange(0, COMPS)
    known = comps < n_comp
    beta = tl.load(log_beta + comps, mask=known, other=0.0)
    first, n_frames = tl.load(start + song), tl.load(length + song)
    rows = log_lik + comps.to(tl.int64) * stride + first
    total, nothing = tl.zeros([COMPS], tl.float64), float("-inf")
    for at in range(0, n_frames, FRAMES):
        frames = at + tl.arange(0, FRAMES)
        inside = frames < n_frames
        logits = tl.load(
            rows[:, None] + frames[None, :], mask=known[:, None] & inside[None, :], other=nothing
        )
        logits += beta[:, None] - tl.load(normaliser + first + frames, mask=inside, other=0.0)[None, :]
        total += tl.sum(tl.exp(logits), 1).to(tl.float64)
    tl.store(out + song * n_comp + comps, total, mask=known)


@triton.jit
def _reciprocals(x):
    """sum of 1 / (x + i), i = 1..7, and the product of those x + i, by pairs about x + 4."""
    t = x + 4.0
    u = t * t
    one, two, three = u - 1.0, u - 4.0, u - 9.0
    product = one * two * three
    return 1.0 / t + 2.0 * t * (two * one + three * one + three * two) / product, t * product


@triton.jit
def _digamma(x):
    """For x > 0, float64: recurrence to x + 8, there the asymptotic series (Abramowitz & Stegun 6.3.18)."""
    reciprocals, _ = _reciprocals(x)
    z = 1.0 / (x + 8.0)
    s = z * z
    series = 1.0 / 12 - s * (
        1.0 / 120 - s * (1.0 / 252 - s * (1.0 / 240 - s * (1.0 / 132 - s * (691.0 / 32760))))
    )
    return tl.log(x + 8.0) - 0.5 * z - s * series - reciprocals - 1.0 / x


@triton.jit
def _lgamma(x):
    """For x > 0, float64: recurrence to x + 8, there Stirling's series (Abramowitz & Stegun 6.1.41)."""
    _, product = _reciprocals(x)
    y = x + 8.0
    z = 1.0 / y
    s = z * z
    series = 1.0 / 12 - s * (
        1.0 / 360 - s * (1.0 / 1260 - s * (1.0 / 1680 - s * (1.0 / 1188 - s * (691.0 / 360360))))
    )
    return (y - 0.5) * tl.log(y) - y + 0.91893853320467274178 + z * series - tl.log(x) - tl.log(product)


@triton.jit
def _log_pi(weight, counts, total, negligible):
    """E[log pi], minus infinity for atoms that are not in use."""
    return tl.where(counts > negligible, _digamma(weight + counts) - _digamma(total), float("-inf"))


@triton.jit
def _pass(rows, n_frames, shift, lowest, ATOMS: tl.constexpr, FRAMES: tl.constexpr):
    """sum_n zeta_tn (atom,) and sum_n log sum_t exp(log_lik_tn + shift_t), float64, zeta at its optimum."""
    used = shift > float("-inf")
    sums = tl.zeros([ATOMS, FRAMES], rows.dtype.element_ty)
    data = tl.zeros([FRAMES], tl.float64)
    for at in range(0, n_frames, FRAMES):
        frames = at + tl.arange(0, FRAMES)
        inside = frames < n_frames
        logits = tl.load(rows[:, None] + frames[None, :], mask=used[:, None] & inside[None, :], other=0.0)
        logits += shift[:, None]
        largest = tl.max(logits, 0)
        logits -= largest[None, :]
        density = tl.where(logits > lowest, tl.exp(logits), 0.0)
        total = tl.sum(density, 0)
        sums += density * tl.where(inside, 1.0 / total, 0.0)[None, :]
        data += tl.where(inside, largest + tl.log(total), 0.0).to(tl.float64)
    return tl.sum(sums.to(tl.float64), 1), tl.sum(data, 0)


@triton.jit
def _divergence(weight, counts, log_pi, alpha, negligible):
    """KL(q(pi) || p(pi | beta)) of a song, a scalar."""
    used = counts > negligible
    rising = _lgamma(weight + counts) - _lgamma(weight)
    own = tl.sum(tl.where(used, rising - counts * tl.where(used, log_pi, 0.0), 0.0), 0)
    return tl.sum(_lgamma(alpha + tl.sum(counts, 0)) - _lgamma(alpha), 0) - own


@triton.jit
def _ascend(
    log_lik, comps, weights, scratch, shifts, start, length, zeta, places, alpha0,
    counts_out, bound_out, rounds_out, stride, n_atoms, tolerance, max_rounds, sweeps, negligible, lowest,
    ATOMS: tl.constexpr, FRAMES: tl.constexpr,
):  # fmt: skip
    """All rounds of one song. scratch (song, atom): the first counts, then the sums of each pass; shifts: log pi.

    They go through memory because what meets a tile of frames is held by every thread for all atoms, and each
    would work out the digammas of all; what is loaded for itself is held by one thread an atom.
    """
    song = tl.program_id(0).to(tl.int64)
    atoms = tl.arange(0, ATOMS)
    named = atoms < n_atoms
    place = song * n_atoms + atoms
    rows = log_lik + tl.load(comps + place, mask=named, other=0) * stride + tl.load(start + song)
    n_frames = tl.load(length + song)
    alpha = tl.load(alpha0 + tl.arange(0, 1))
    bound = tl.full([], float("-inf"), tl.float64)
    passes = 0
    going = True
    while going:
        closing = passes % sweeps == 0
        weight = tl.load(weights + place, mask=named, other=1.0)
        counts = tl.load(scratch + place, mask=named, other=0.0)
        counts = tl.where(closing & (counts <= negligible), 0.0, counts)
        log_pi = _log_pi(weight, counts, alpha + tl.sum(counts, 0), negligible)
        tl.store(shifts + place, log_pi, mask=named)
        tl.debug_barrier()
        shift = tl.load(shifts + place, mask=named, other=float("-inf"))
        sums, data = _pass(rows, n_frames, shift, lowest, ATOMS, FRAMES)
        tl.store(scratch + place, sums, mask=named)
        if closing:
            tl.store(counts_out + place, counts, mask=named)
            new = data - _divergence(weight, counts, log_pi, alpha, negligible)
            going = (new - bound >= tolerance * n_frames) & (passes < max_rounds * sweeps)
            bound = new
        tl.debug_barrier()
        passes += 1

    tl.store(bound_out + song, bound)
    tl.store(rounds_out + song, passes // sweeps)
    shift = tl.load(shifts + place, mask=named, other=float("-inf"))
    used = shift > float("-inf")
    out = zeta + tl.load(places + place, mask=named, other=0)
    for at in range(0, n_frames, FRAMES):
        frames = at + tl.arange(0, FRAMES)
        some = used[:, None] & (frames < n_frames)[None, :]
        logits = tl.load(rows[:, None] + frames[None, :], mask=some, other=0.0) + shift[:, None]
        logits -= tl.max(logits, 0)[None, :]
        density = tl.where(logits > lowest, tl.exp(logits), 0.0)
        tl.store(out[:, None] + frames[None, :], density / tl.sum(density, 0)[None, :], mask=some)
