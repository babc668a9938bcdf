"""Improved Fisher vectors of songs with tempered responsibilities: how a song's frames differ from each component.

Fisher vectors: Perronnin, Sanchez, Mensink 2010; Sanchez, Perronnin, Mensink, Verbeek 2013. Tempered responsibilities:
the annealed E-step of Ueda and Nakano 1998.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hdpgmm.components.statistics import BLOCK
from hdpgmm.kinds.kind import Kind
from hdpgmm.local_step.groups import Group
from hdpgmm.model.expectations import Globals, log_likelihoods
from hdpgmm.model.state import State, family
from hdpgmm.model.threads import by_group
from hdpgmm.ragged import Ragged
from hdpgmm.represent import FEATURES, tempered

LEAST_SHARE = 1e-3  # of the corpus' frames, or a tenth of an equal share: what fewer belong to has but zeros
MOMENTS = 1 << 22  # numbers that are made for songs side by side, 32 MB


def fisher(model: Globals, state: State, songs: Ragged[Tensor]) -> Tensor:
    """Improved Fisher vectors, (song, 2 * comp * dim) float32, of length one; zero for songs without frames.

    With r_nk = softmax_k(E[log p(x_n | phi_k)] / T), T = dim / FEATURES, w_k a component's share of the corpus' frames,
    m_k its mean and v_k the diagonal of its expected covariance, all of whitened frames, and
    u_nk = (x_n - m_k) / sqrt(v_k) (Sanchez et al. 2013, equations 17 and 18, where T is 1):

        mean gradients      sum_n r_nk u_nk / (N sqrt(w_k))
        variance gradients  sum_n r_nk (u_nk^2 - 1) / (N sqrt(2 w_k))

    the roots being those of the closed-form Fisher information. Each coordinate's signed square root is taken, and the
    whole is scaled to length one, which makes N, the number of frames, drop out. Coordinates: all mean gradients, then
    all variance gradients, each component by component: k dim + d and (comp + k) dim + d. `model` is `state`, prepared.

    Why tempered: the features of a frame repeat each other, and responsibilities that take them as independent are
    nearly one-hot; with T = 1 probes of real music read less from these vectors than from plain means and deviations.
    Memory: the vectors, and some times MOMENTS numbers of 8 bytes, or of one song. Time: 4 comp dim operations a frame
    in float64, beside those of the log-likelihoods.
    """
    gaussians = _gaussians(state)
    found = songs.values.new_zeros(len(songs), 2, state.n_components, state.prior.dim, dtype=torch.float32)

    at_once = max(1, MOMENTS // gaussians.mean.numel())

    def one(group: Group) -> None:
        for part in group.split(at_once):
            gradients = gaussians.gradients(_moments(model, part))
            improved = gradients.sign() * gradients.abs().sqrt()
            length = improved.flatten(1).norm(dim=1)
            found[part.songs.to(found.device)] = (improved / length[:, None, None, None]).float()

    for _ in by_group(one, songs):
        pass
    return found.flatten(1)


def blocks(vectors: Tensor, n_components: int) -> Tensor:
    """Fisher vectors (song, 2 * comp * dim) as their blocks, (song, 2, comp, dim): mean and variance gradients."""
    return vectors.unflatten(1, (2, n_components, -1))


def mean_shifts(vectors: Tensor, state: State) -> Tensor:
    """sum_n r_nk (x_n - m_k) of whitened frames, up to one positive factor a song: (song, comp, dim) float64.

    `fisher` backwards: the square undoes the signed root, w_k and v_k the scale; the length and N, which are the same
    for all of a song's coordinates, are the factor. vectors (song, 2 * comp * dim), of `fisher` with this state.
    """
    gaussians = _gaussians(state)
    improved = blocks(vectors.double(), state.n_components)[:, 0]
    scale = gaussians.deviation * gaussians.share.sqrt()[:, None]
    return improved.abs() * improved * scale.to(improved.device)


@dataclass(frozen=True)
class _Gaussians:
    """Of every component, float64: mean (comp, dim), deviation (comp, dim), share (comp,) of the corpus' frames."""

    mean: Tensor
    deviation: Tensor
    share: Tensor

    def gradients(self, moments: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """sum_n r_nk u_nk / sqrt(w_k) and sum_n r_nk (u_nk^2 - 1) / sqrt(2 w_k), (song, 2, comp, dim)."""
        count, first, second = moments
        count, mean = count[:, :, None], self.mean
        means = (first - count * mean) / self.deviation
        squares = (second - 2.0 * mean * first + mean.square() * count) / self.deviation.square()
        both = torch.stack([means, (squares - count) / math.sqrt(2.0)], dim=1)
        least = min(LEAST_SHARE, 0.1 / len(self.share))
        return both * torch.where(self.share < least, 0.0, self.share.rsqrt())[:, None]


def _gaussians(state: State) -> _Gaussians:
    components = family(state.prior)
    posterior = components.posterior(state.prior, state.stats)
    covariance = components.expected_covariance(posterior)
    variance = covariance if state.prior.diagonal else covariance.diagonal(dim1=1, dim2=2)
    return _Gaussians(posterior.mean, variance.sqrt(), state.stats.count / state.stats.count.sum())


def _moments(model: Globals, group: Group) -> tuple[Tensor, Tensor, Tensor]:
    """sum_n r_nk (song, comp), sum_n r_nk x_n and sum_n r_nk x_n^2 (song, comp, dim) of the songs of a group.

    float64: the second moments lose digits where a component is narrow and far from the middle.
    """
    dim, songs = group.values.shape[2], len(group.values)
    comps = model.theta.shape[1]
    nothing = group.values.new_zeros((), dtype=torch.float64)
    count = nothing.new_zeros(songs, comps)
    first, second = (nothing.new_zeros(songs, comps, dim) for _ in range(2))
    steps = max(1, BLOCK[group.values.device.type] // songs)
    for values, mask in zip(group.values.split(steps, 1), group.mask.split(steps, 1), strict=True):
        shares = tempered(log_likelihoods(model, values), dim / FEATURES) * mask[:, :, None]
        shares, values = shares.double().transpose(1, 2), values.double()
        count += shares.sum(2)
        first.baddbmm_(shares, values)
        second.baddbmm_(shares, values.square())
    return count, first, second


FISHER = Kind(
    name="fisher",
    meaning="improved Fisher vector: how the frames differ from each component, by responsibilities of temperature "
    f"dim / {FEATURES}: mean gradients (component, dimension), then variance gradients, of length one",
    compute=lambda batch: fisher(batch.model, batch.state, batch.songs),
    row="HDPGMM Fisher",
    precision="float16",
    blocks=2,
)
