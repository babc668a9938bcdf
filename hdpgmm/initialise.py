"""First components: k-means++ seeds on a sample of frames, a few Lloyd iterations, sorted by mass."""

import torch
from torch import Tensor

from hdpgmm.model import State
from hdpgmm.prior import Prior
from hdpgmm.statistics import add_products, contract, zero_sums


def from_sample(
    prior: Prior, sample: Tensor, n_components: int, frames: float, songs: int, generator: torch.Generator
) -> State:
    """State whose statistics are those of a k-means partition of `sample` (frame, dim), scaled to the corpus.

    frames, songs: size of the training corpus. Fewer distinct frames than components leave the rest empty, which is
    well-defined: an empty component is the prior.
    """
    if sample.ndim != 2 or sample.shape[0] < 1:
        raise ValueError(
            f"sample must be (frame, dim) with at least one frame, found shape {tuple(sample.shape)}"
        )
    centres = lloyd(sample, plus_plus(sample, n_components, generator))
    resp = torch.nn.functional.one_hot(nearest(sample, centres)[0], n_components).to(sample.dtype)
    order = torch.argsort(resp.sum(0), descending=True, stable=True)
    sums = zero_sums(n_components, sample.shape[1], sample.device)
    add_products(sums, resp[:, order], sample)
    stats = contract(
        sums, torch.zeros(n_components, dtype=torch.float64, device=sample.device), sample.shape[1]
    )
    stats = stats.scaled(frames / sample.shape[0])
    return State(prior, type(stats)(stats.count, stats.first, stats.second, songs * stats.count / frames))


def plus_plus(sample: Tensor, n_centres: int, generator: torch.Generator, trials: int = 4) -> Tensor:
    """Greedy k-means++ (Arthur, Vassilvitskii 2007): of `trials` draws by squared distance keep the best."""
    chosen = [sample[int(torch.randint(len(sample), (1,), generator=generator))]]
    distance = ((sample - chosen[0]) ** 2).sum(1)
    for _ in range(n_centres - 1):
        if not bool(distance.sum() > 0):
            distance = torch.ones_like(distance)
        draws = torch.multinomial(distance, trials, replacement=True, generator=generator)
        options = torch.minimum(
            distance, torch.cdist(sample[draws], sample, compute_mode="donot_use_mm_for_euclid_dist") ** 2
        )
        best = int(options.sum(1).argmin())
        chosen.append(sample[draws[best]])
        distance = options[best]
    return torch.stack(chosen)


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
