"""One step, the times of the moves, and when to stop."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from hdpgmm import model, schedule, training_step
from hdpgmm.components.prior import Concentration
from hdpgmm.components.statistics import Statistics
from hdpgmm.model import BatchInfo, State
from hdpgmm.ragged import packed
from hdpgmm.training_step import PAPER, Part, Settings
from tests.hdpgmm.corpora import Corpus, mixture

SETTINGS = Settings(n_components=6, n_atoms=5, direct=False)


def _corpus() -> Corpus:
    return mixture(seed=0, n_songs=23, n_comp=4, dim=2, frames=(5, 20), spread=1.0)


def _start(corpus: Corpus, settings: Settings = SETTINGS) -> State:
    generator = torch.Generator().manual_seed(0)
    n_songs = corpus.n_songs
    return training_step.start(settings, corpus.values, len(corpus.values), n_songs, generator)


def _statistics(state: State, corpus: Corpus, settings: Settings, splash: float = 0.0) -> Statistics:
    prepared = model.prepare(state, corpus.values.dtype)
    return model.batch_statistics(prepared, corpus.songs, settings.options, splash)[0]


def _learnt(
    state: State, corpus: Corpus, songs: int, settings: Settings = SETTINGS
) -> tuple[State, BatchInfo]:
    return training_step.learn(state, corpus.songs, songs, settings)


def _assert_close(found: Statistics, expected: Statistics, rtol: float = 1e-12) -> None:
    for one, two in zip(found.tensors(), expected.tensors(), strict=True):
        torch.testing.assert_close(one, two, rtol=rtol, atol=1e-12)


def _mixed(state: State, batch: Statistics, rho: float, scale: float) -> Statistics:
    return Statistics(
        *(
            (1 - rho) * old + rho * scale * new
            for old, new in zip(state.stats.tensors(), batch.tensors(), strict=True)
        )
    )


@pytest.mark.parametrize("batch", [range(16), range(16, 23), [3]], ids=["full", "last and short", "one song"])
def test_a_step_scales_a_batch_by_its_own_songs(batch: list[int]):
    """A corpus of 1,000: each song of the last, short batch stands for more of them. The step is shorter, too."""
    corpus = _corpus()
    state, part = _start(corpus), corpus.take(list(batch))
    found, info = _learnt(state, part, 1000)
    share = len(batch) / 128
    rho = share * (1.0 + share) ** -0.6
    assert info.songs == len(batch)
    assert found.step == 1
    _assert_close(found.stats, _mixed(state, _statistics(state, part, SETTINGS), rho, 1000 / len(batch)))


def test_the_first_step_on_the_whole_corpus_is_nearly_the_batch_update():
    corpus = _corpus()
    state = _start(corpus)
    found, _ = _learnt(state, corpus, 23, replace(SETTINGS, tau0=0.0))
    _assert_close(found.stats, _statistics(state, corpus, SETTINGS))
    rho = 2.0**-0.6
    assert training_step.step_size_of(1, 23, 23, SETTINGS) == pytest.approx(rho, rel=1e-12)


@pytest.mark.parametrize(("songs", "corpus_songs", "share"), [(8, 1000, 1 / 16), (128, 1000, 1.0), (512, 1000, 1.0),
                                                              (8, 32, 0.25), (32, 32, 1.0)])  # fmt: skip
def test_small_batches_take_smaller_steps(songs: int, corpus_songs: int, share: float):
    """After the same number of songs the same number of full steps has been taken, so rho is its share of theirs."""
    for full_steps in (1, 10, 1000):
        step = round(full_steps / share)
        found = training_step.step_size_of(step, songs, corpus_songs, SETTINGS)
        assert found == pytest.approx(share * (1.0 + full_steps) ** -0.6, rel=1e-12)


def test_songs_without_frames_are_songs_of_the_corpus():
    """They say nothing of the components, but the batch stands for as many songs as it has."""
    corpus = _corpus().take([0, 1, 2, 3])
    state = _start(_corpus())
    songs = packed([*corpus.songs, *[corpus.values[:0]] * 4])
    found, info = training_step.learn(state, songs, 1000, SETTINGS)
    rho = training_step.step_size_of(1, 8, 1000, SETTINGS)
    assert info.songs == 8
    _assert_close(found.stats, _mixed(state, _statistics(state, corpus, SETTINGS), rho, 1000 / 8))


@pytest.mark.parametrize("step", [0, 9, 1000, 50_000])
def test_the_splash_decays_as_the_papers(step: int):
    """eta_t = eta0 1000 / (t + 1000), t the number of the step, from 1."""
    corpus = _corpus()
    state = replace(_start(corpus), step=step)
    settings = replace(SETTINGS, splash=0.2)
    found, _ = _learnt(state, corpus, 23, settings)
    batch = _statistics(state, corpus, settings, splash=0.2 * 1000 / (step + 1 + 1000))
    _assert_close(
        found.stats, _mixed(state, batch, training_step.step_size_of(step + 1, 23, 23, settings), 1.0)
    )
    none, _ = _learnt(state, corpus, 23)
    assert float((none.stats.count - found.stats.count).abs().max()) > 1e-5


def test_the_papers_settings_are_the_papers():
    """K=256, T=32, tau0=64, kappa=0.6, eta0=0.1, both concentrations 1 and fixed, no moves, batches of 1,024."""
    assert (PAPER.n_components, PAPER.n_atoms, PAPER.diagonal, PAPER.direct, PAPER.moves) == (
        256,
        32,
        False,
        False,
        False,
    )
    assert (PAPER.gamma, PAPER.alpha0) == (Concentration(1.0, False), Concentration(1.0, False))
    assert PAPER.splash == 0.1
    assert training_step.step_size_of(1, 1024, 200_000, PAPER) == pytest.approx(65.0**-0.6)
    assert training_step.step_size_of(900, 1024, 200_000, PAPER) == pytest.approx(964.0**-0.6)


def test_the_papers_settings_train():
    corpus = _corpus()
    settings = replace(PAPER, n_components=8)
    state = _start(corpus, settings)
    for _ in range(3):
        state, _ = _learnt(state, corpus, 23, settings)
    assert state.n_components == 8
    assert (state.gamma, state.alpha0) == (1.0, 1.0)
    assert float(state.stats.count.min()) > 0.0  # the splash gives every component some of every frame


def test_concentrations_are_learned_unless_fixed():
    corpus = _corpus()
    fixed = replace(SETTINGS, gamma=Concentration(2.0, False), alpha0=Concentration(0.5, False))
    found, _ = _learnt(_start(corpus, fixed), corpus, 23, fixed)
    assert (found.gamma, found.alpha0) == (2.0, 0.5)
    found, _ = _learnt(_start(corpus), corpus, 23)
    assert found.gamma != 1.0
    assert found.alpha0 != 1.0


def test_ranks_are_added_up_before_the_step():
    """Twice the same half is the whole."""
    corpus = _corpus()
    state, half = _start(corpus), corpus.take(list(range(8)))
    twice = corpus.take([*range(8), *range(8)])

    def of_two(parts: Iterable[Part], nothing: Part) -> Part:
        parts = list(parts)
        return training_step.in_order([*parts, *parts], nothing)

    found, info = training_step.learn(state, half.songs, 1000, SETTINGS, of_two)
    expected, whole = _learnt(state, twice, 1000)
    assert (info.songs, info.frames) == (whole.songs, whole.frames)
    assert info.bound == pytest.approx(whole.bound, rel=1e-12)
    _assert_close(found.stats, expected.stats)


@pytest.mark.parametrize(
    ("batch", "corpus_songs", "first"), [(64, 512, 512), (100, 1000, 1000), (1024, 200_000, 2048)]
)
def test_moves_come_at_geometrically_growing_numbers_of_songs(batch: int, corpus_songs: int, first: int):
    """First after a pass over a small corpus, 2,048 songs of a large one; then at twice as many songs, and so on."""
    steps = [step for step in range(1, 2000) if schedule.moves_due(step, batch, corpus_songs)]
    times = [first * 2**i for i in range(40) if first * 2**i < 2000 * batch]
    assert steps == [-(-time // batch) for time in times]


def test_moves_that_a_large_batch_passes_come_once():
    assert schedule.moves_between(0, 100_000, 500)
    assert not schedule.moves_between(100_000, 100_000, 500)
    assert not schedule.moves_between(0, 499, 500)
    assert schedule.moves_between(499, 500, 500)


@pytest.mark.parametrize(
    ("n_songs", "size"), [(1, 16), (128, 16), (400, 64), (1000, 128), (10_000, 1024), (10**7, 1024)]
)
def test_default_batches_are_an_eighth_of_the_corpus(n_songs: int, size: int):
    assert schedule.batch_songs(n_songs) == size


@pytest.mark.parametrize(
    ("scores", "stands_still"),
    [
        ([], False),
        ([-9.0], False),
        ([-9.0, -9.0], False),
        ([-9.0, -9.0, -9.0], True),
        ([-9.0, -9.0, -8.97], False),
        ([-9.0, -8.97, -9.0], False),
        ([-9.0, -8.99, -8.985], True),
        ([-9.0, -8.0, -8.5, -8.5], False),
        ([-9.0, -8.0, -8.5, -8.5, -8.5], True),
        ([-9.0, -8.0, -7.0, -7.0, -7.0, -7.0], False),
        ([-9.0, -8.0, -7.0, -7.0, -7.0, -7.0, -7.0], True),
        ([-9.0, -8.0, -8.5, -7.0], False),
        ([-9.0, -8.98, -8.96, -8.95, -8.94], False),
        ([-9.0, -8.9, -8.8, -8.7, -8.6, -8.5, -8.5, -8.5, -8.5], False),
        ([-9.0, -8.9, -8.8, -8.7, -8.6, -8.5, -8.5, -8.5, -8.5, -8.5], True),
    ],
)
def test_a_plateau_is_a_later_half_of_epochs_or_four_that_bring_next_to_nothing(
    scores: list[float], stands_still: bool
):
    assert schedule.plateau(scores) is stands_still


@pytest.mark.parametrize(
    ("scores", "epoch"),
    [
        ([None, None], 1),
        ([-2.0, -1.0, -3.0], 1),
        ([-1.0, -1.0], 1),
        ([-1.0, -1.019, -1.03], 1),
        ([-1.03, -1.0, -1.019], 2),
        ([-1.0, -1.01, -1.03, -0.99, -1.02], 3),
    ],
)
def test_the_model_is_the_last_epoch_near_the_best_score(scores: list[float | None], epoch: int):
    assert schedule.best(scores) == epoch
    for n in range(epoch + 1, len(scores)):  # and has been since it ended, so that its state could be kept
        assert schedule.best(scores[:n]) == epoch


def test_a_step_does_not_change_its_argument():
    corpus = _corpus()
    state = _start(corpus)
    before: list[Tensor] = [part.clone() for part in state.stats.tensors()]
    _learnt(state, corpus, 23)
    assert all(torch.equal(one, two) for one, two in zip(before, state.stats.tensors(), strict=True))
    assert np.isfinite(model.corpus_bound(state))
