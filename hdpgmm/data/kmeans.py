"""First components: k-means++ seeds on a sample of frames, a few Lloyd iterations, sorted by mass."""

from dataclasses import replace

import torch
from torch import Tensor

from hdpgmm.components.prior import Prior
from hdpgmm.components.statistics import Statistics, zeros
from hdpgmm.model.state import State


def from_sample(
    prior: Prior, sample: Tensor, n_components: int, frames: float, songs: int, generator: torch.Generator
) -> State:
    """State whose statistics are those of a k-means partition of `sample` (frame, dim), scaled to the corpus.

    frames, songs: size of the training corpus. Components are in order of falling mass; where the sample has fewer
    distinct frames than `n_components`, there are fewer.
    """
    if sample.ndim != 2 or sample.shape[0] < 1:
        raise ValueError(
            f"sample must be (frame, dim) with at least one frame, found shape {tuple(sample.shape)}"
        )
    centres = lloyd(sample, plus_plus(sample, n_components, generator))
    index, _ = nearest(sample, centres)
    parts = sorted((sample[index == k] for k in range(n_components)), key=len, reverse=True)
    stats = partition_statistics([part for part in parts if len(part)], prior.diagonal).scaled(
        frames / len(sample)
    )
    stats = replace(stats, atoms=songs * stats.count / frames)
    return State(prior, stats, prior.gamma.initial, prior.alpha0.initial)


def partition_statistics(parts: list[Tensor], diagonal: bool) -> Statistics:
    """Statistics of frames that belong to one component each: parts[k] (frame, dim). No atoms, no sticks."""
    total = zeros(len(parts), parts[0].shape[1], parts[0].device, diagonal)
    for k, part in enumerate(parts):
        frames = part.double()
        total.count[k] = len(frames)
        total.first[k] = frames.sum(0)
        total.second[k] = frames.square().sum(0) if diagonal else frames.T @ frames
    return total


def plus_plus(sample: Tensor, n_centres: int, generator: torch.Generator, trials: int = 4) -> Tensor:
    """Greedy k-means++ (Arthur, Vassilvitskii 2007): of `trials` draws by squared distance keep the best."""
    norms = (sample**2).sum(1)
    first = int(torch.randint(len(sample), (1,), generator=generator))
    chosen, distance = [first], _squared(sample, norms, torch.tensor([first]))[0]
    for _ in range(n_centres - 1):
        mass = distance.double().cumsum(0)
        shots = torch.rand(trials, generator=generator, dtype=torch.float64).to(sample.device) * mass[-1]
        draws = torch.searchsorted(mass, shots, right=True).clamp(max=len(sample) - 1)
        options = torch.minimum(distance, _squared(sample, norms, draws))
        best = int(options.sum(1).argmin())
        chosen.append(int(draws[best]))
        distance = options[best]
    return sample[torch.tensor(chosen)]


def _squared(sample: Tensor, norms: Tensor, index: Tensor) -> Tensor:
    """Squared distances from the frames at `index`, (index, frame); exactly zero from a frame to itself."""
    found = (norms[index][:, None] - 2.0 * (sample[index] @ sample.T) + norms).clamp_(min=0.0)
    found[torch.arange(len(index)), index] = 0.0
    return found


def nearest(sample: Tensor, centres: Tensor, block: int = 65536) -> tuple[Tensor, Tensor]:
    """Index of the nearest centre and the squared distance to it, (frame,) each."""
    index, distance = [], []
    half_norm = 0.5 * (centres**2).sum(1)
    for start in range(0, len(sample), block):
        part = sample[start : start + block]
        score, best = (part @ centres.T - half_norm).max(1)
        index.append(best)
        distance.append((part**2).sum(1) - 2.0 * score)
    return torch.cat(index), torch.cat(distance).clamp(min=0.0)


def lloyd(sample: Tensor, centres: Tensor, iterations: int = 10) -> Tensor:
    """k-means iterations; a centre without frames stays where it is."""
    for _ in range(iterations):
        index, _ = nearest(sample, centres)
        count = torch.bincount(index, minlength=len(centres)).to(sample.dtype)
        sums = torch.zeros_like(centres).index_add_(0, index, sample)
        centres = torch.where(count[:, None] > 0, sums / count.clamp(min=1.0)[:, None], centres)
    return centres
