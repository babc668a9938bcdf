"""Groups dealt to folds: other ones each time, against scikit-learn's index and its splitter's balance."""

import warnings
from itertools import combinations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import StratifiedGroupKFold

from evaluation.probing.group_folds import alike, alike_alone, deal, deal_repeats

FOLDS = 5
Corpus = tuple[np.ndarray, np.ndarray]  # the label of each song, and its group


def equal(genres: int, artists: int) -> Corpus:
    """So many artists of ten songs in each genre."""
    groups = np.repeat(np.arange(genres * artists), 10)
    return groups // artists, groups


def heavy_tailed(seed: int) -> Corpus:
    """40 groups of 1 to 120 songs, most of them of one label each."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(40), 120 // np.arange(1, 41))
    own = rng.integers(0, 6, 40)[groups]
    return np.where(rng.random(len(groups)) < 0.1, rng.integers(0, 6, len(groups)), own), groups


def with_a_lonely_class(seed: int) -> Corpus:
    """Six genres of five artists, and one of a single artist."""
    labels, groups = equal(6, 5)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(labels) + 25)
    return np.append(labels, np.full(25, 6))[order], np.append(groups, np.full(25, 30))[order]


def unequal(artists: int) -> Corpus:
    """One artist a genre, of 8 songs (median), some of many more: the best balance is nearly always the same."""
    sizes = np.maximum(1, np.random.default_rng(5).lognormal(np.log(8), 1.0, artists).astype(int))
    groups = np.repeat(np.arange(artists), sizes)
    return groups, groups


CORPORA = {
    "one unequal artist a genre": unequal(20),
    "one artist a genre": equal(10, 1),
    "five artists a genre": equal(6, 5),
    "heavy-tailed": heavy_tailed(3),
    "a class of one group": with_a_lonely_class(0),
    "seven groups": equal(7, 1),
}


def tally(corpus: Corpus) -> tuple[np.ndarray, np.ndarray]:
    labels, groups = corpus
    counts = np.zeros((groups.max() + 1, labels.max() + 1), dtype=np.int64)
    np.add.at(counts, (groups, labels), 1)
    return counts, counts.sum(axis=1)


def index_between(songs: list[np.ndarray]) -> float:
    return float(np.mean([adjusted_rand_score(*pair) for pair in combinations(songs, 2)]))


@pytest.mark.parametrize("name", CORPORA)
def test_repeats_are_hardly_more_alike_than_folds_drawn_for_each_group_alone(name: str):
    counts, sizes = tally(CORPORA[name])
    groups = CORPORA[name][1]
    rng = np.random.default_rng(0)
    alone = np.mean(
        [index_between(list(rng.integers(0, FOLDS, (2, len(sizes)))[:, groups])) for _ in range(300)]
    )
    ours = np.mean([
        index_between(list(deal_repeats(counts, sizes, FOLDS, range(seed, seed + 5))[:, groups]))
        for seed in range(0, 40, 5)
    ])  # fmt: skip
    assert ours < 1.6 * alone
    assert alike_alone(sizes, FOLDS) == pytest.approx(alone, rel=0.1)


def imbalance(corpus: Corpus, tested: np.ndarray) -> np.ndarray:
    """The largest difference of a label's share of a fold, and of a fold's share of the songs."""
    marks = np.eye(corpus[0].max() + 1)[corpus[0]]
    parts = [marks[tested == fold] for fold in range(FOLDS)]
    share = max(np.abs(part.mean(axis=0) - marks.mean(axis=0)).max() for part in parts)
    return np.array([share, max(abs(len(part) / len(marks) - 1 / FOLDS) for part in parts)])


@pytest.mark.parametrize("name", CORPORA)
def test_folds_are_about_as_balanced_as_scikit_learns(name: str):
    labels, groups = CORPORA[name]
    counts, sizes = tally(CORPORA[name])
    ours, theirs, alone = [], [], []
    rng = np.random.default_rng(1)
    for seed in range(0, 40, 5):
        dealt = deal_repeats(counts, sizes, FOLDS, range(seed, seed + 5))[:, groups]
        ours += [imbalance(CORPORA[name], tested) for tested in dealt]
        tested = np.zeros(len(labels), dtype=int)
        splitter = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
            for fold, (_, test) in enumerate(splitter.split(labels, labels, groups)):
                tested[test] = fold
        theirs.append(imbalance(CORPORA[name], tested))
        drawn = np.append(np.arange(FOLDS), rng.integers(0, FOLDS, len(sizes) - FOLDS))
        alone.append(imbalance(CORPORA[name], drawn[groups]))
    mine, other, free = np.mean(ours, axis=0), np.mean(theirs, axis=0), np.mean(alone, axis=0)
    paid = (
        0.65 if name == "one unequal artist a genre" else 0.4
    )  # of what folds drawn for each group alone would cost
    assert (mine < other + paid * (free - other).clip(min=0.0) + 0.02).all()


def test_what_can_be_dealt_evenly_is():
    counts, sizes = tally(equal(6, 5))
    dealt = deal(counts, sizes, FOLDS, 0.01, np.random.default_rng(0))
    assert [np.bincount(counts[dealt == fold].argmax(axis=1)).tolist() for fold in range(FOLDS)] == [
        [1] * 6
    ] * FOLDS


@pytest.mark.parametrize("groups", [5, 6])
def test_no_fold_is_empty_and_as_many_groups_as_folds_are_one_split(groups: int):
    counts, sizes = tally(equal(groups, 1))
    dealt = deal_repeats(counts, sizes, FOLDS, range(6))
    assert all(len(np.unique(repeat)) == FOLDS for repeat in dealt)
    assert (alike(dealt, sizes) == 1.0) == (groups == FOLDS)


def test_the_index_is_scikit_learns():
    rng = np.random.default_rng(2)
    sizes, dealt = rng.integers(1, 9, 12), rng.integers(0, 4, (3, 12))
    assert alike(dealt, sizes) == pytest.approx(index_between([np.repeat(repeat, sizes) for repeat in dealt]))
    assert np.isnan(alike(dealt[:1], sizes))


def test_seeds_decide():
    counts, sizes = tally(heavy_tailed(0))
    first, again, other = (deal_repeats(counts, sizes, FOLDS, seeds) for seeds in ([1, 2], [1, 2], [1, 3]))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
