"""The paper's algorithm as its formulas read: one padded batch, loops over components, dense zeta and varphi.

What a competent user writes in torch in an afternoon, and what `tests.bench.engine` compares the engine with.
Nothing of hdpgmm is imported. Beyond the paper's own code it averages natural parameters and masks the padding.

Axes of the tensors: song (S), frame (L, of the longest song), dim (D), comp (K), atom (T).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Prior:
    """gamma, alpha0, and the normal-Wishart prior: mean (dim,), strength, dof, scale_inv (dim, dim) = W^-1."""

    gamma: float
    alpha0: float
    mean: Tensor
    strength: float
    dof: float
    scale_inv: Tensor


@dataclass(frozen=True)
class Statistics:
    """count (comp,), first (comp, dim), second (comp, dim, dim), atoms (comp,) = sum of varphi over songs and atoms."""

    count: Tensor
    first: Tensor
    second: Tensor
    atoms: Tensor


@dataclass(frozen=True)
class Corpus:
    """q of the corpus-level variables: Beta(u, v) of the sticks, normal-Wishart of the components.

    u, v, strength, dof (comp,), mean (comp, dim), scale_inv (comp, dim, dim) = W^-1.
    """

    u: Tensor
    v: Tensor
    mean: Tensor
    strength: Tensor
    dof: Tensor
    scale_inv: Tensor

    def to(self, device: torch.device | str, dtype: torch.dtype) -> "Corpus":
        return Corpus(*(field.to(device, dtype) for field in vars(self).values()))


@dataclass(frozen=True)
class Batch:
    """values (song, frame, dim), zero where padded; mask (song, frame), 1 for a frame and 0 for padding."""

    values: Tensor
    mask: Tensor

    @property
    def frames(self) -> int:
        return int(self.mask.sum())


@dataclass(frozen=True)
class Local:
    """q of the songs: a, b (song, atom), zeta (song, frame, atom), zero where padded, varphi (song, atom, comp)."""

    a: Tensor
    b: Tensor
    zeta: Tensor
    varphi: Tensor


def pad(songs: list[Tensor]) -> Batch:
    """Songs (frame, dim) as one batch, each padded to the longest."""
    values = torch.nn.utils.rnn.pad_sequence(songs, batch_first=True)
    lengths = torch.tensor([len(song) for song in songs], device=values.device)
    mask = torch.arange(values.shape[1], device=values.device) < lengths[:, None]
    return Batch(values, mask.to(values.dtype))


def posterior(prior: Prior, stats: Statistics) -> Corpus:
    """Corpus updates from statistics scaled to the corpus (Bishop 2006, equations 10.60 to 10.63)."""
    strength = prior.strength + stats.count
    mean = (prior.strength * prior.mean + stats.first) / strength[:, None]
    scatter = stats.second + prior.strength * torch.outer(prior.mean, prior.mean)
    scale_inv = prior.scale_inv + scatter - strength[:, None, None] * _outer(mean)
    later = stats.atoms.sum() - stats.atoms.cumsum(0)
    return Corpus(1.0 + stats.atoms, prior.gamma + later, mean, strength, prior.dof + stats.count, scale_inv)


def blend(corpus: Corpus, estimate: Corpus, rho: float) -> Corpus:
    """Natural-gradient step: the natural parameters move by rho towards those of the mini-batch."""
    u, v, strength, dof, weighted, moment = (
        (1.0 - rho) * old + rho * new for old, new in zip(_natural(corpus), _natural(estimate), strict=True)
    )
    mean = weighted / strength[:, None]
    return Corpus(u, v, mean, strength, dof, moment - strength[:, None, None] * _outer(mean))


def _natural(corpus: Corpus) -> tuple[Tensor, ...]:
    weighted = corpus.strength[:, None] * corpus.mean
    moment = corpus.scale_inv + corpus.strength[:, None, None] * _outer(corpus.mean)
    return corpus.u, corpus.v, corpus.strength, corpus.dof, weighted, moment


def _outer(vectors: Tensor) -> Tensor:
    return vectors[:, :, None] * vectors[:, None, :]


def expected_log_sticks(a: Tensor, b: Tensor) -> Tensor:
    """E[log of the weights] of sticks Beta(a, b), along the last axis."""
    total = torch.digamma(a + b)
    log_rest = torch.digamma(b) - total
    return torch.digamma(a) - total + log_rest.cumsum(-1) - log_rest


def log_likelihoods(batch: Batch, corpus: Corpus) -> Tensor:
    """E[log p(x_n | phi_k)], (song, frame, comp), one component after the other; 0 where padded."""
    n_comp, dim = corpus.mean.shape
    chol = torch.linalg.cholesky(corpus.scale_inv)
    log_det = -2.0 * torch.diagonal(chol, dim1=1, dim2=2).log().sum(1)
    halves = 0.5 * (corpus.dof[:, None] - torch.arange(dim, device=chol.device))
    log_precision = torch.digamma(halves).sum(1) + dim * math.log(2.0) + log_det
    constant = 0.5 * (log_precision - dim * math.log(2.0 * math.pi) - dim / corpus.strength)
    eye = torch.eye(dim, dtype=chol.dtype, device=chol.device)
    whitener = torch.linalg.solve_triangular(chol, eye.expand_as(chol), upper=False).mT
    log_lik = batch.values.new_empty(*batch.mask.shape, n_comp)
    for k in range(n_comp):
        white = (batch.values - corpus.mean[k]) @ whitener[k]
        log_lik[:, :, k] = constant[k] - 0.5 * corpus.dof[k] * (white**2).sum(2)
    return log_lik * batch.mask[:, :, None]


def random_start(batch: Batch, n_atoms: int, generator: torch.Generator) -> Tensor:
    """zeta of the paper's code: noise, normalised over atoms."""
    noise = torch.randn(*batch.mask.shape, n_atoms, generator=generator).to(batch.values)
    return torch.softmax(noise, dim=2) * batch.mask[:, :, None]


def supported_start(batch: Batch, log_lik: Tensor, log_beta: Tensor, n_atoms: int) -> Tensor:
    """zeta if each song's atoms are its best-supported components, largest first."""
    log_joint = log_lik + log_beta
    support = (torch.softmax(log_joint, dim=2) * batch.mask[:, :, None]).sum(1)
    best = support.topk(n_atoms, dim=1).indices
    chosen = log_joint.gather(2, best[:, None, :].expand(-1, log_lik.shape[1], -1))
    return torch.softmax(chosen, dim=2) * batch.mask[:, :, None]


def local_iteration(batch: Batch, log_lik: Tensor, log_beta: Tensor, alpha0: float, zeta: Tensor) -> Local:
    """One round of the local updates of every song: a and b, varphi, zeta."""
    counts = zeta.sum(1)
    a = 1.0 + counts
    b = alpha0 + counts.sum(1, keepdim=True) - counts.cumsum(1)
    b = b.clamp(min=alpha0)  # float32 sums of later counts can end below zero
    varphi = torch.softmax(zeta.mT @ log_lik + log_beta, dim=2)
    scores = log_lik @ varphi.mT + expected_log_sticks(a, b)[:, None, :]
    return Local(a, b, torch.softmax(scores, dim=2) * batch.mask[:, :, None], varphi)


def local_bounds(
    log_lik: Tensor, log_beta: Tensor, alpha0: float, local: Local, free_below: float = 0.0
) -> Tensor:
    """Each song's part of the evidence lower bound, (song,) float64 nats.

    An atom of fewer than `free_below` frames pays nothing for its varphi: in the infinite model it may keep its prior.
    """
    zeta, varphi = local.zeta, local.varphi
    counts = zeta.sum(1, dtype=torch.float64)
    a, b = local.a.double(), local.b.double()
    data = ((zeta.mT @ log_lik) * varphi).sum((1, 2), dtype=torch.float64)
    assignment = (counts * expected_log_sticks(a, b)).sum(1)
    entropy = torch.special.entr(zeta).sum((1, 2), dtype=torch.float64)
    atoms = (varphi * log_beta).sum(2, dtype=torch.float64)
    atoms = atoms + torch.special.entr(varphi).sum(2, dtype=torch.float64)
    atoms = torch.where(counts < free_below, 0.0, atoms).sum(1)
    return data + assignment + entropy + atoms - _kl_sticks(a, b, alpha0).sum(1)


def _kl_sticks(a: Tensor, b: Tensor, concentration: float) -> Tensor:
    """KL(Beta(a, b) || Beta(1, concentration))."""
    total = torch.digamma(a + b)
    log_beta_function = torch.lgamma(a) + torch.lgamma(b) - torch.lgamma(a + b)
    expected = (a - 1.0) * (torch.digamma(a) - total) + (b - concentration) * (torch.digamma(b) - total)
    return expected - log_beta_function - math.log(concentration)


def statistics(batch: Batch, local: Local) -> Statistics:
    """What the batch says about the components, one after the other."""
    resp = local.zeta @ local.varphi
    flat = batch.values.flatten(0, 1)
    count, first, second = [], [], []
    for k in range(resp.shape[2]):
        weight = resp[:, :, k].flatten()
        weighted = weight[:, None] * flat
        count.append(weight.sum())
        first.append(weighted.sum(0))
        second.append(weighted.T @ flat)
    atoms = local.varphi.sum((0, 1))
    return Statistics(torch.stack(count), torch.stack(first), torch.stack(second), atoms)
