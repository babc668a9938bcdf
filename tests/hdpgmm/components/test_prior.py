"""The learned prior: what many components were drawn from is found again, few or none leave it weak."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from hdpgmm.components import normal_gamma, normal_wishart
from hdpgmm.components.prior import Prior, Spread, log_hyperpriors, relearned, whitened_prior

DIM = 3
STRENGTH, DOF, SCALE = 0.4, 17.0, 6.0


def learned_prior(diagonal: bool) -> Prior:
    return replace(whitened_prior(DIM, diagonal=diagonal), learned=True)


def known(n_comp: int, seed: int) -> normal_wishart.NormalWishart:
    """Components known to 1e5 frames each, drawn from Normal-Wishart(0, STRENGTH, DOF, SCALE I)."""
    rng = np.random.default_rng(seed)
    drawn = stats.wishart(DOF, np.eye(DIM) / SCALE).rvs(n_comp, random_state=rng)
    precisions = np.reshape(drawn, (n_comp, DIM, DIM))
    means = [rng.multivariate_normal(np.zeros(DIM), np.linalg.inv(STRENGTH * p)) for p in precisions]
    many = torch.full((n_comp,), 1e5, dtype=torch.float64)
    scale_inv = torch.tensor(np.linalg.inv(precisions)) * 1e5
    return normal_wishart.NormalWishart(
        torch.tensor(np.array(means)), many, many, torch.linalg.cholesky(scale_inv)
    )


def settled(prior: Prior, spread: Spread) -> Prior:
    return relearned(relearned(prior, spread), spread)


def test_what_components_were_drawn_from_is_found() -> None:
    prior = learned_prior(diagonal=False)
    found = settled(prior, normal_wishart.spread(known(3000, 0), prior))
    assert found.strength == pytest.approx(STRENGTH, rel=0.05)
    assert found.dof == pytest.approx(DOF, rel=0.05)
    torch.testing.assert_close(
        found.scale_inv, SCALE * torch.eye(DIM, dtype=torch.float64), rtol=0.06, atol=1e-12
    )


def test_with_diagonal_covariances_too() -> None:
    rng, prior = np.random.default_rng(1), learned_prior(diagonal=True)
    precisions = rng.gamma(DOF / 2, 2 / SCALE, size=(3000, DIM))
    means = rng.normal(size=(3000, DIM)) / np.sqrt(STRENGTH * precisions)
    many = torch.full((3000,), 1e5, dtype=torch.float64)
    components = normal_gamma.NormalGamma(torch.tensor(means), many, many, torch.tensor(1e5 / precisions))
    found = settled(prior, normal_gamma.spread(components, prior))
    assert (found.strength, found.dof) == pytest.approx((STRENGTH, DOF), rel=0.05)
    assert found.scale_inv.tolist() == pytest.approx([SCALE] * DIM, rel=0.06)


@pytest.mark.parametrize("diagonal", [False, True])
def test_no_component_says_nothing(diagonal: bool) -> None:
    prior = learned_prior(diagonal)
    assert relearned(prior, Spread(0, 0.0, 0.0, 0.0)) is prior


@pytest.mark.parametrize("n_comp", [1, 2])
def test_few_components_leave_room_for_others(n_comp: int) -> None:
    """Of equal ones a maximum of the likelihood alone would have no end: all others would be impossible."""
    prior = learned_prior(diagonal=False)
    one = known(1, 2)
    same = normal_wishart.NormalWishart(
        *(part.repeat(n_comp, *[1] * (part.ndim - 1)) for part in (one.mean, one.strength, one.dof, one.chol))
    )
    found = settled(prior, normal_wishart.spread(same, prior))
    assert found.dof < 40.0
    assert 0.0 < found.strength < 1.0


@pytest.mark.parametrize("diagonal", [False, True])
def test_its_density_is_scipys(diagonal: bool) -> None:
    prior = replace(learned_prior(diagonal), strength=0.3, dof=DOF)
    scale, excess = float(prior.scale_inv.flatten()[0]), DOF - (0 if diagonal else DIM - 1)
    expected = sum(stats.gamma.logpdf(v, 2, scale=m) for v, m in ((0.3, 0.01), (scale, 0.1), (excess, 3.0)))
    assert log_hyperpriors(prior) == pytest.approx(expected, rel=1e-12)
    assert log_hyperpriors(replace(prior, learned=False)) == 0.0
