"""Song vectors: what a song is made of, one row per song.

Four are shares of the components: the posterior under a flat prior ("The power of deep without going deep?", ISMIR
2022, and its code), the same with the evidence of one feature in place of a whole frame's, the responsibilities of the
HDP posterior, and the expected weights of the song's own mixture. The fifth is the improved Fisher vector (Perronnin,
Sanchez, Mensink 2010; Sanchez et al. 2013), which also says how the frames differ from each component. A song's vectors
depend on its frames alone, in any order.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hdpgmm.components.statistics import BLOCK, expand, expanded_size, symmetric
from hdpgmm.local_step.groups import Group
from hdpgmm.local_step.stick_breaking import LocalOptions, Posterior
from hdpgmm.model import Globals, State, by_group, family, log_likelihoods, posterior_given, posterior_of
from hdpgmm.score import component_weights, log_likelihood

FLOOR = 1e-8  # of the paper's logarithm


@dataclass(frozen=True)
class Vectors:
    """posterior, responsibility, expected, soft (song, comp) float32, rows sum to one; log_likelihood (song,) float64.

    posterior: mean over frames of softmax_k E[log p(x_n | phi_k)], the paper's: a flat prior over components, neither
    sticks nor local step. responsibility: mean over frames of r_nk. expected: E[weight of each component in the song].
    soft: mean over frames of softmax_k(E[log p(x_n | phi_k)] / dim). The features of a frame repeat each other;
    a posterior that takes them as independent is nearly one-hot and forgets the runners-up.
    log_likelihood: nats a frame, of the song's frames under its expected weights, those of
    components never seen included. A song without frames has E[beta]
    four times, what is expected of any song, and log_likelihood nan.
    """

    posterior: Tensor
    responsibility: Tensor
    expected: Tensor
    soft: Tensor
    log_likelihood: Tensor

    def tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        return self.posterior, self.responsibility, self.expected, self.soft, self.log_likelihood


def represent(model: Globals, values: Tensor, offsets: Tensor, options: LocalOptions) -> Vectors:
    """The vectors of a batch, in its order: values (frame, dim) of all songs, offsets (song + 1,) int64 on the CPU."""
    n_songs = len(offsets) - 1
    unseen = (model.beta / model.beta.sum()).float().expand(n_songs, -1)
    nats = torch.full((n_songs,), math.nan, dtype=torch.float64, device=values.device)
    found = Vectors(unseen.clone(), unseen.clone(), unseen.clone(), unseen.clone(), nats)

    def one(group: Group) -> tuple[Tensor, tuple[Tensor, ...]]:
        log_lik = log_likelihoods(model, group.values)
        song = posterior_given(model, group, log_lik, options)
        return group.songs.to(values.device), _of_group(model, group, log_lik, song)

    for songs, parts in by_group(one, values, offsets):
        for whole, part in zip(found.tensors(), parts, strict=True):
            whole[songs] = part.to(whole.dtype)
    return found


def floored_log(posterior: Tensor) -> Tensor:
    """log(max(p, 1e-8)), as the paper's code feeds to its probes."""
    return posterior.clamp(min=FLOOR).log()


def _of_group(model: Globals, group: Group, log_lik: Tensor, song: Posterior) -> tuple[Tensor, ...]:
    """The fields of Vectors for the songs of a group, float64; in blocks of frames that stay in the cache."""
    weights = component_weights(model, song)
    flat, soft, nats = torch.zeros_like(weights), torch.zeros_like(weights), weights.new_zeros(len(weights))
    dim = group.values.shape[2]
    block = BLOCK[log_lik.device.type]
    at_once = max(1, block // log_lik.shape[1])
    for first in range(0, len(weights), at_once):
        songs = slice(first, first + at_once)
        parts = (part[songs].split(block, 1) for part in (group.values, group.mask, log_lik))
        for values, mask, part in zip(*parts, strict=True):
            flat[songs] += (torch.softmax(part, dim=2) * mask[:, :, None]).sum(1, dtype=torch.float64)
            soft[songs] += (torch.softmax(part / dim, dim=2) * mask[:, :, None]).sum(1, dtype=torch.float64)
            nats[songs] += (log_likelihood(model, values, part, weights[songs]) * mask).sum(1)
    n_frames = group.mask.sum(1, dtype=torch.float64)
    expected = weights / weights.sum(1, keepdim=True)
    posterior, responsibility, soft = (part / n_frames[:, None] for part in (flat, song.shares(), soft))
    return posterior, responsibility, expected, soft, nats / n_frames


def fisher(model: Globals, state: State, values: Tensor, offsets: Tensor, options: LocalOptions) -> Tensor:
    """Improved Fisher vectors, (song, 2 * comp * dim) float32, of length one; zero for songs without frames.

    With w_k = E[beta_k] normalised, m_k the mean and L_k the Cholesky factor of the expected covariance of component k,
    u_nk = L_k^-1 (x_n - m_k) and r_nk the responsibilities of the HDP posterior (Sanchez et al. 2013, equations 17, 18,
    where covariances are diagonal and r_nk is the mixture's own posterior):

        mean gradients      sum_n r_nk u_nk / (N sqrt(w_k))
        variance gradients  sum_n r_nk (u_nk^2 - 1) / (N sqrt(2 w_k))

    the roots being those of the closed-form Fisher information. Each coordinate's signed square root is taken, and the
    whole is scaled to length one, which makes N, the number of frames, drop out. Coordinates: all mean gradients, then
    all variance gradients, each component by component: k dim + d and (comp + k) dim + d. `model` is `state`, prepared.
    The r_nk are not tempered as `Vectors.soft` is; on real music probes read less from these than from G1.
    """
    whitener = _whitener(state)
    scale = (model.beta / model.beta.sum()).rsqrt()[:, None]
    found = values.new_zeros(len(offsets) - 1, 2, *whitener.mean.shape, dtype=torch.float32)

    def one(group: Group) -> None:
        song = posterior_of(model, group, options)
        used = int((song.counts > 0.0).any(0).sum())
        for i, place in enumerate(group.songs.tolist()):
            varphi = song.varphi[i, :used].double()
            comps = varphi.sum(0).nonzero().flatten()
            sums = varphi[:, comps].T @ _moments(group.values[i], song.zeta[i, :, :used], model.diagonal)
            gradients = whitener.take(comps).gradients(sums) * scale[comps]
            improved = gradients.sign() * gradients.abs().sqrt()
            found[place][:, comps] = (improved / improved.norm()).float()

    for _ in by_group(one, values, offsets):
        pass
    return found.flatten(1)


@dataclass(frozen=True)
class _Whitener:
    """x -> root_k (x - mean_k) has unit expected covariance under component k. float64.

    mean (comp, dim); root (comp, dim, dim) lower triangular, or (comp, dim) where covariances are diagonal.
    """

    mean: Tensor
    root: Tensor

    def take(self, comps: Tensor) -> "_Whitener":
        return _Whitener(self.mean[comps], self.root[comps])

    def gradients(self, sums: Tensor) -> Tensor:
        """sum_n r_nk u_nk and sum_n r_nk (u_nk^2 - 1) / sqrt(2), (2, comp, dim).

        sums (comp, expanded_size) = R^T t(X), float64.
        """
        mean, root, dim = self.mean, self.root, self.mean.shape[1]
        pairs, first, count = sums.split([sums.shape[1] - dim - 1, dim, 1], dim=1)
        shift = first - count * mean
        if root.ndim == 2:
            scatter = pairs - mean * (first + shift)
            moved, squares = root * shift, root.square() * scatter
        else:
            about_mean = first[:, :, None] * mean[:, None, :] + mean[:, :, None] * shift[:, None, :]
            scatter = symmetric(pairs, dim) - about_mean
            moved, squares = (root @ shift[:, :, None])[:, :, 0], ((root @ scatter) * root).sum(2)
        return torch.stack([moved, (squares - count) / math.sqrt(2.0)])


def _whitener(state: State) -> _Whitener:
    components = family(state.prior)
    posterior = components.posterior(state.prior, state.stats)
    covariance = components.expected_covariance(posterior)
    if state.prior.diagonal:
        return _Whitener(posterior.mean, covariance.rsqrt())
    identity = torch.eye(posterior.dim, dtype=covariance.dtype, device=covariance.device)
    root = torch.linalg.solve_triangular(torch.linalg.cholesky(covariance), identity, upper=False)
    return _Whitener(posterior.mean, root)


def _moments(values: Tensor, zeta: Tensor, diagonal: bool) -> Tensor:
    """zeta^T t(X) of a song, (atom, expanded_size) float64: centring it later costs digits that float32 lacks."""
    total = values.new_zeros(zeta.shape[1], expanded_size(values.shape[1], diagonal), dtype=torch.float64)
    block = BLOCK[values.device.type]
    for part, shares in zip(values.split(block), zeta.split(block), strict=True):
        total += shares.double().T @ expand(part.double(), diagonal).T
    return total
