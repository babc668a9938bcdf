"""Stick weights against sampling, exact Beta moments, quadrature, enumeration and a numerical optimiser."""

import itertools
from collections.abc import Callable, Sequence
from math import comb

import numpy as np
import pytest
import torch
from scipy import integrate, optimize, special, stats

from hdpgmm.components import sticks

COUNTS = [4.2, 0.0, 17.5, 0.3, 2.0, 0.0]
N_USED = 5
CONCENTRATION = 1.7


def _t(counts: Sequence) -> torch.Tensor:
    return torch.tensor(counts, dtype=torch.float64)


def _counts() -> torch.Tensor:
    return _t(COUNTS)


def _posteriors(counts: list[float], concentration: float = CONCENTRATION) -> list[tuple[float, float]]:
    """(a, b) of each stick, by the textbook's sum."""
    return [(1 + c, concentration + sum(counts[i + 1 :])) for i, c in enumerate(counts)]


def _draws(n: int) -> np.ndarray:
    """Weights drawn by breaking the stick, (n, stick)."""
    rng = np.random.default_rng(11)
    rest, out = np.ones(n), []
    for a, b in _posteriors(COUNTS):
        v = rng.beta(a, b, n)
        out.append(rest * v)
        rest = rest * (1 - v)
    return np.stack(out, axis=1)


def test_expected_weights_are_the_mean_of_draws():
    draws = _draws(100_000)
    found = sticks.expected_weights(_counts(), CONCENTRATION).numpy()
    assert np.all(np.abs(found - draws.mean(0)) < 4.5 * draws.std(0) / np.sqrt(len(draws)))


def test_expected_log_weights_are_the_mean_of_log_draws():
    logs = np.log(_draws(100_000))
    found = sticks.expected_log_weights(_counts(), CONCENTRATION).numpy()
    assert np.all(np.abs(found - logs.mean(0)) < 4.5 * logs.std(0) / np.sqrt(len(logs)))


def test_expected_log_weights_are_sums_of_beta_log_moments():
    """E[log v], v ~ Beta(a, b), is the derivative of log B(a + s, b) at s = 0; of log(1 - v), that in b."""
    h, rest, expected = 1e-5, 0.0, []
    for a, b in _posteriors(COUNTS):
        expected.append(rest + (special.betaln(a + h, b) - special.betaln(a - h, b)) / (2 * h))
        rest += (special.betaln(a, b + h) - special.betaln(a, b - h)) / (2 * h)
    found = sticks.expected_log_weights(_counts(), CONCENTRATION)
    np.testing.assert_allclose(found, expected, atol=1e-7)  # O(h^2) and rounding / h


def test_the_unseen_share_is_what_the_sticks_leave_over():
    share = 1.0 - float(sticks.expected_weights(_counts(), CONCENTRATION).sum())
    assert share == pytest.approx(np.prod([b / (a + b) for a, b in _posteriors(COUNTS)]), rel=1e-9)


def test_a_single_stick_leaves_a_share_to_the_unseen():
    assert sticks.expected_weights(_t([3.0]), 2.0).tolist() == [4.0 / 6.0]


def test_kl_equals_quadrature():
    def kl(a: float, b: float) -> float:
        def ratio(v: float) -> float:
            return float(stats.beta.logpdf(v, a, b) - stats.beta.logpdf(v, 1, CONCENTRATION))

        return integrate.quad(lambda v: stats.beta.pdf(v, a, b) * ratio(v), 0, 1, epsabs=1e-11)[0]

    expected = sum(kl(a, b) for a, b in _posteriors(COUNTS)[:N_USED])
    assert float(sticks.kl_to_prior(_counts(), CONCENTRATION)) == pytest.approx(expected, abs=1e-7)


def _sums(counts: torch.Tensor, concentration: float) -> list[float]:
    """Every function that sums over sticks."""
    used, log_rest = sticks.usage(counts, concentration)
    kl, evidence = sticks.kl_to_prior(counts, concentration), sticks.evidence(counts, concentration)
    return [float(kl), float(evidence), float(used), float(log_rest)]


def test_sticks_without_data_contribute_exactly_nothing():
    longer = torch.cat([_counts(), torch.zeros(300, dtype=torch.float64)])
    shorter = _sums(_counts()[:N_USED], CONCENTRATION)
    assert _sums(longer, CONCENTRATION) == pytest.approx(shorter, rel=1e-14)  # the order of addition
    assert _sums(torch.zeros(300, dtype=torch.float64), CONCENTRATION) == [0.0, 0.0, 0.0, 0.0]


def test_an_empty_stick_before_a_used_one_is_in_use():
    """It was passed over: Beta(1, concentration + later) is not its prior."""
    used, log_rest = sticks.usage(_counts(), CONCENTRATION)
    assert float(used) == N_USED
    passed = stats.beta(1, CONCENTRATION + 19.8).expect(lambda v: -np.log1p(-v))
    without = sticks.usage(_t([4.2, 17.5, 0.3, 2.0]), CONCENTRATION)[1]
    assert float(log_rest - without) == pytest.approx(passed, rel=1e-6)


def test_evidence_is_the_expected_log_weights_less_the_kl():
    log_weights = sticks.expected_log_weights(_counts(), CONCENTRATION)
    expected = _counts() @ log_weights - sticks.kl_to_prior(_counts(), CONCENTRATION)
    assert float(sticks.evidence(_counts(), CONCENTRATION)) == pytest.approx(float(expected), abs=1e-10)


@pytest.mark.parametrize("concentration", [0.4, 1.0, 3.3])
def test_evidence_sums_to_the_probability_that_all_draws_fall_on_the_sticks(concentration: float):
    """Three draws on four sticks in 64 ways: E[(1 - r)^3], r = prod (1 - v) with E[r^j] = (c / (c + j))^4."""
    ways = [
        [float(assignment.count(k)) for k in range(4)] for assignment in itertools.product(range(4), repeat=3)
    ]
    total = float(sticks.evidence(_t(ways), concentration).exp().sum())
    moments = [(concentration / (concentration + j)) ** 4 for j in range(4)]
    expected = sum((-1) ** j * comb(3, j) * moment for j, moment in enumerate(moments))
    assert total == pytest.approx(expected, rel=1e-12)


def test_evidence_over_every_placement_is_the_chinese_restaurant_process():
    """A block of two and a block of one, on any two of 60 sticks: alpha^2 / (alpha (alpha + 1) (alpha + 2))."""
    rows = torch.zeros(60 * 59, 60, dtype=torch.float64)
    for row, (pair, single) in enumerate(itertools.permutations(range(60), 2)):
        rows[row, pair], rows[row, single] = 2.0, 1.0
    found = float(sticks.evidence(rows, 0.9).exp().sum())
    assert found == pytest.approx(0.9 / (1.9 * 2.9), rel=1e-9)  # (0.9 / 1.9)^60 of the mass lies beyond


def test_rows_of_a_batch_are_independent():
    rows = torch.stack([_counts(), _counts().flip(0)])
    for name in ("expected_log_weights", "expected_weights", "kl_to_prior", "evidence"):
        function = getattr(sticks, name)
        single = torch.stack([function(row, CONCENTRATION) for row in rows])
        torch.testing.assert_close(function(rows, CONCENTRATION), single)
    for both, one, other in zip(*(sticks.usage(part, CONCENTRATION) for part in (rows, *rows)), strict=True):
        torch.testing.assert_close(both, torch.stack([one, other]))


def test_huge_counts_leave_the_other_sticks_alone():
    """277 million frames beside it: the later sticks still see their own counts, and 0 after it is 0."""
    first, second = sticks.beta_posterior(_t([2.77e8, 3.0, 0.1, 2.77e8, 0.0]), 0.5)
    assert first.tolist() == [2.77e8 + 1, 4.0, 1.1, 2.77e8 + 1, 1.0]
    assert second.tolist()[2:] == [2.77e8 + 0.5, 0.5, 0.5]
    assert sticks.beta_posterior(_t([2.77e8, 0.1, 0.2]), 0.5)[1].tolist() == [0.1 + 0.2 + 0.5, 0.7, 0.5]


@pytest.mark.parametrize("concentration", [0.5, 1.0, 4.0])
def test_falling_order_has_the_highest_evidence(concentration: float):
    """Of every order, by exhaustion over Beta functions."""

    def evidence(counts: list[float]) -> float:
        pairs = _posteriors(counts, concentration)
        return sum(special.betaln(a, b) - special.betaln(1, concentration) for a, b in pairs)

    best = max(evidence(list(order)) for order in itertools.permutations(COUNTS))
    falling = _counts()[sticks.size_order(_counts())]
    assert float(sticks.evidence(falling, concentration)) == pytest.approx(best, abs=1e-12)


def test_size_order_keeps_ties_in_place():
    assert sticks.size_order(torch.tensor([1.0, 3.0, 1.0, 3.0])).tolist() == [1, 3, 0, 2]


def _maximiser(function: Callable[[float], float]) -> float:
    """The value in (0.01, 40) where the function is highest, by scipy."""
    found = optimize.minimize_scalar(
        lambda value: -function(value), bounds=(0.01, 40.0), method="bounded", options={"xatol": 1e-7}
    )
    return found.x  # pyright: ignore[reportAttributeAccessIssue]


def test_log_hyperprior_is_a_gamma_density_with_its_mode_at_the_initial_value():
    assert sticks.log_hyperprior(1.9, 0.6) == pytest.approx(stats.gamma.logpdf(1.9, 2, scale=0.6), abs=1e-12)
    assert _maximiser(lambda value: sticks.log_hyperprior(value, 0.6)) == pytest.approx(0.6, abs=1e-4)
    assert sticks.learned(0.0, 0.0, 0.6) == pytest.approx(0.6)


@pytest.mark.parametrize("initial", [0.3, 5.0])
def test_learned_concentration_maximises_the_expected_log_joint(initial: float):
    """Of hyper-prior and sticks in use, q(v) held: by quadrature over q, and scipy's optimiser over the value."""
    used, log_rest = sticks.usage(_counts(), CONCENTRATION)

    def expected_log_joint(value: float) -> float:
        terms = [
            stats.beta.expect(lambda v: stats.beta.logpdf(v, 1, value), (a, b))
            for a, b in _posteriors(COUNTS)[:N_USED]
        ]
        return float(sum(terms) + stats.gamma.logpdf(value, 2, scale=initial))

    found = sticks.learned(float(used), float(log_rest), initial)
    assert found == pytest.approx(_maximiser(expected_log_joint), rel=1e-4)


@pytest.mark.parametrize("initial", [0.1, 1.0, 30.0])
def test_repeated_updates_climb_to_the_mode_of_the_evidence(initial: float):
    """q(v) anew after each update: evidence and hyper-prior rise, to the maximum that scipy finds."""

    def objective(value: float) -> float:
        return float(sticks.evidence(_counts(), value)) + sticks.log_hyperprior(value, initial)

    value, path = initial, [objective(initial)]
    for _ in range(200):
        used, log_rest = sticks.usage(_counts(), value)
        value = sticks.learned(float(used), float(log_rest), initial)
        path.append(objective(value))
    assert np.diff(path).min() > -1e-12
    assert path[-1] > path[0] + 0.01
    assert value == pytest.approx(_maximiser(objective), rel=1e-4)
