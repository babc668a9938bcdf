"""The exact evidence of a corpus so small that every assignment can be written down."""

import itertools

import numpy as np
from scipy import special, stats

from tests.oracles.elbo import Hyper


class TinyCorpus:
    """log p(frames) of two songs of two one-dimensional frames, K = T = 2, summed over every assignment."""

    def __init__(self, frames: np.ndarray, hyper: Hyper) -> None:
        self.frames, self.hyper = frames, hyper

    def log_evidence(self) -> float:
        terms = [
            self._corpus_sticks(atoms)
            + sum(self._song_sticks(z) for z in (zs[:2], zs[2:]))
            + self._frames(atoms, zs)
            for atoms in itertools.product((0, 1), repeat=4)
            for zs in itertools.product((0, 1), repeat=4)
        ]
        return float(special.logsumexp(terms))

    def _corpus_sticks(self, atoms: tuple[int, ...]) -> float:
        gamma, ones = self.hyper.gamma, sum(atoms)
        return special.betaln(1 + 4 - ones, gamma + ones) - special.betaln(1, gamma)

    def _song_sticks(self, z: tuple[int, ...]) -> float:
        alpha0, ones = self.hyper.alpha0, sum(z)
        return special.betaln(1 + 2 - ones, alpha0 + ones) - special.betaln(1, alpha0)

    def _frames(self, atoms: tuple[int, ...], zs: tuple[int, ...]) -> float:
        """Frame after frame from the Student-t predictive of its component."""
        own = [atoms[2 * (n // 2) + z] for n, z in enumerate(zs)]
        return sum(
            self.marginal([x for x, k in zip(self.frames, own, strict=True) if k == c]) for c in (0, 1)
        )

    def marginal(self, frames: list[float]) -> float:
        """log p(frames) of one component, mean and precision integrated out (Murphy 2007)."""
        mean, strength = float(self.hyper.mean[0]), self.hyper.strength
        dof, scale_inv, total = self.hyper.dof, float(self.hyper.scale_inv[0, 0]), 0.0
        for x in frames:
            total += stats.t.logpdf(x, dof, mean, np.sqrt(scale_inv * (strength + 1) / (strength * dof)))
            scale_inv += strength / (strength + 1) * (x - mean) ** 2
            mean += (x - mean) / (strength + 1)
            strength, dof = strength + 1, dof + 1
        return total
