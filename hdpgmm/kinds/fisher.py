"""Improved Fisher vectors of songs (Perronnin, Sanchez, Mensink 2010; Sanchez et al. 2013)."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hdpgmm.components.statistics import BLOCK, expand, expanded_size, symmetric
from hdpgmm.kinds.kind import Kind
from hdpgmm.local_step.groups import Group
from hdpgmm.local_step.posterior import LocalOptions
from hdpgmm.model.expectations import Globals
from hdpgmm.model.inference import posterior_of
from hdpgmm.model.state import State, family
from hdpgmm.model.threads import by_group
from hdpgmm.ragged import Ragged


def fisher(model: Globals, state: State, songs: Ragged[Tensor], options: LocalOptions) -> Tensor:
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
    found = songs.values.new_zeros(len(songs), 2, *whitener.mean.shape, dtype=torch.float32)

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

    for _ in by_group(one, songs):
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


FISHER = Kind(
    name="fisher",
    meaning="improved Fisher vector: how the frames differ from each component, of length one",
    compute=lambda batch: fisher(batch.model, batch.state, batch.songs, batch.options),
    stored=False,
)
