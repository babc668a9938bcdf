"""Stick weights against sampling, exact Beta moments and quadrature."""

import itertools

import numpy as np
import pytest
import torch
from scipy import integrate, special, stats

from hdpgmm import sticks

COUNTS = [4.2, 0.0, 17.5, 0.3, 2.0]
CONCENTRATION = 1.7


def _counts() -> torch.Tensor:
    return torch.tensor(COUNTS, dtype=torch.float64)


def _posteriors() -> list[tuple[float, float]]:
    """(a, b) of each stick but the last, by the textbook's sum."""
    return [(1 + c, CONCENTRATION + sum(COUNTS[i + 1 :])) for i, c in enumerate(COUNTS[:-1])]


def _draws(n: int) -> np.ndarray:
    """Weights drawn by breaking the stick, (n, 5)."""
    rng = np.random.default_rng(11)
    rest, out = np.ones(n), []
    for a, b in _posteriors():
        v = rng.beta(a, b, n)
        out.append(rest * v)
        rest = rest * (1 - v)
    return np.stack([*out, rest], axis=1)


def test_expected_weights_are_the_mean_of_draws():
    draws = _draws(100_000)
    found = sticks.expected_weights(_counts(), CONCENTRATION).numpy()
    assert found.sum() == pytest.approx(1.0, abs=1e-14)
    assert np.all(np.abs(found - draws.mean(0)) < 4.5 * draws.std(0) / np.sqrt(len(draws)))


def test_expected_log_weights_are_the_mean_of_log_draws():
    logs = np.log(_draws(100_000))
    found = sticks.expected_log_weights(_counts(), CONCENTRATION).numpy()
    assert np.all(np.abs(found - logs.mean(0)) < 4.5 * logs.std(0) / np.sqrt(len(logs)))


def test_expected_log_weights_are_sums_of_beta_log_moments():
    """E[log v], v ~ Beta(a, b), is the derivative of log B(a + s, b) at s = 0; of log(1 - v), that in b."""
    h, rest, expected = 1e-5, 0.0, []
    for a, b in _posteriors():
        expected.append(rest + (special.betaln(a + h, b) - special.betaln(a - h, b)) / (2 * h))
        rest += (special.betaln(a, b + h) - special.betaln(a, b - h)) / (2 * h)
    found = sticks.expected_log_weights(_counts(), CONCENTRATION)
    np.testing.assert_allclose(found, [*expected, rest], atol=1e-7)  # O(h^2) and rounding / h


def test_kl_equals_quadrature():
    def kl(a: float, b: float) -> float:
        q, p = stats.beta(a, b), stats.beta(1, CONCENTRATION)
        return integrate.quad(lambda v: q.pdf(v) * (q.logpdf(v) - p.logpdf(v)), 0, 1, epsabs=1e-11)[0]

    expected = sum(kl(a, b) for a, b in _posteriors())
    assert float(sticks.kl_to_prior(_counts(), CONCENTRATION)) == pytest.approx(expected, abs=1e-7)


def test_kl_is_zero_without_counts():
    assert float(sticks.kl_to_prior(torch.zeros(6, dtype=torch.float64), 2.5)) == pytest.approx(
        0.0, abs=1e-12
    )


def test_a_single_stick_is_the_whole():
    one = torch.tensor([3.0], dtype=torch.float64)
    assert sticks.expected_log_weights(one, 1.3).tolist() == [0.0]
    assert sticks.expected_weights(one, 1.3).tolist() == [1.0]
    assert float(sticks.kl_to_prior(one, 1.3)) == 0.0


def test_rows_of_a_batch_are_independent():
    rows = torch.stack([_counts(), _counts().flip(0)])
    for name in ("expected_log_weights", "expected_weights", "kl_to_prior"):
        function = getattr(sticks, name)
        both = function(rows, CONCENTRATION)
        for i in range(2):
            torch.testing.assert_close(both[i], function(rows[i], CONCENTRATION))


def test_huge_counts_leave_the_later_sticks_alone():
    """277 million frames before it: the digammas of the last sticks still see their own counts."""
    counts = torch.tensor([2.77e8, 3.0, 1.0], dtype=torch.float64)
    first, second = sticks.beta_posterior(counts, 0.5)
    assert second.tolist() == pytest.approx([4.5, 1.5, 0.5], abs=1e-6)
    assert first.tolist() == [2.77e8 + 1, 4.0, 2.0]


@pytest.mark.parametrize("concentration", [0.5, 1.0])
def test_falling_order_has_the_highest_stick_evidence(concentration: float):
    """Of every order, by exhaustion. Above a concentration of 1 the last two sticks may be better swapped."""

    def evidence(counts: tuple[float, ...]) -> float:
        return sum(
            special.betaln(1 + c, concentration + sum(counts[i + 1 :])) - special.betaln(1, concentration)
            for i, c in enumerate(counts[:-1])
        )

    counts = _counts()
    best = max(evidence(order) for order in itertools.permutations(COUNTS))
    chosen = evidence(tuple(counts[sticks.size_order(counts)].tolist()))
    assert chosen == pytest.approx(best, abs=1e-12)


def test_size_order_keeps_ties_in_place():
    assert sticks.size_order(torch.tensor([1.0, 3.0, 1.0, 3.0])).tolist() == [1, 3, 0, 2]
