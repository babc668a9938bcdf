"""When what happens in a training: sizes of mini-batches, times for moves, convergence, the epoch that is the model."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

FIRST_MOVES = 2048  # songs seen before the first moves, unless the corpus is smaller
MOVES_APART = 2.0  # ratio of the songs seen from one time to the next
PATIENCE, MOST_PATIENCE = 2, 4  # epochs without a better held-out score
NEAR = 0.02  # nats a frame between held-out scores that are as good as each other
FEWEST_COMPONENTS, MOST_COMPONENTS = 8, 256  # at the start
FRAMES = 4  # independent ones, for each number of a component's mean and scales, at the start


@dataclass(frozen=True)
class Epoch:
    """What is known of a pass over the songs at its end.

    epoch: from 1; step: steps so far. bound, heldout: nats a frame in the features' own units; heldout is the document
    completion of the songs held out, None without any. components: how many carry 99 % of the frames, of n_components.
    gamma, alpha0, prior_dof, prior_strength: as learned; dependence: how many frames count for one; rho: step size.
    """

    epoch: int
    step: int
    bound: float
    heldout: float | None
    components: int
    n_components: int
    gamma: float
    alpha0: float
    dependence: float
    prior_dof: float
    prior_strength: float
    rho: float


def first_components(frames: float, dependence: float, songs: int, dim: int) -> int:
    """Components at the start where no number is asked for: what the corpus can tell apart, 8 to 256.

    frames / dependence is how many independent frames there are. A component gets two songs at least, and FRAMES of
    those frames for each of the 2 dim numbers that are its mean and its scales: with more components, those of a small
    corpus become recordings of one song each, and vectors of it tell less. Moves add components where songs ask for
    more.
    """
    most = min(frames / component_frames(dependence, dim), songs / 2)
    return min(MOST_COMPONENTS, max(FEWEST_COMPONENTS, math.floor(most)))


def component_frames(dependence: float, dim: int) -> float:
    """How many frames a component needs, see `first_components`; one that is split, for each of the two."""
    return dependence * 2 * dim * FRAMES


def batch_songs(n_songs: int) -> int:
    """Songs of a mini-batch where none are asked for: an eighth of the corpus, a power of two in 16..1024."""
    return 2 ** min(10, max(4, round(math.log2(max(n_songs, 1) / 8))))


def moves_due(step: int, batch_songs: int, corpus_songs: int) -> bool:
    """Whether moves follow this step (1, 2, ...): at geometrically growing numbers of songs seen.

    The first time after a pass over the corpus, or FIRST_MOVES songs of a large one; then MOVES_APART times as many.
    """
    return moves_between((step - 1) * batch_songs, step * batch_songs, corpus_songs)


def moves_between(before: int, after: int, corpus_songs: int) -> bool:
    """Whether a time for moves passes as the songs seen grow from `before` to `after`."""
    first = min(FIRST_MOVES, corpus_songs)
    return _times(after, first) > _times(before, first)


def _times(songs: int, first: int) -> int:
    """How many of the times first * MOVES_APART^i have passed."""
    passed, time = 0, float(first)
    while time <= songs:
        passed, time = passed + 1, time * MOVES_APART
    return passed


def chosen(history: Sequence[Epoch], early_stopping: bool = True) -> int:
    """Which epoch is the model: with early stopping the `best` one, else the last."""
    return best([row.heldout for row in history]) if early_stopping else len(history) - 1


def converged(history: Sequence[Epoch], or_bound: bool = False) -> bool:
    """Whether the held-out score is on a `plateau`; `or_bound`: the bound, where nothing is held out."""
    scores = [row.bound if or_bound and row.heldout is None else row.heldout for row in history]
    known = [score for score in scores if score is not None]
    return len(known) == len(scores) and plateau(known)


def best(scores: Sequence[float | None]) -> int:
    """Which epoch is the model, by the held-out scores, nats a frame: the last one that is near the best.

    Near is NEAR. Few songs are held out of a small corpus, and what later epochs learn from the others is worth more
    than their noise. Without scores it is the last epoch.
    """
    least = max((score for score in scores if score is not None), default=-math.inf) - NEAR
    return max(i for i, score in enumerate(scores) if score is None or score >= least)


def plateau(scores: Sequence[float]) -> bool:
    """Whether the later half of the epochs' held-out scores, nats a frame, brought nothing; PATIENCE to MOST_PATIENCE.

    Nothing is less than NEAR. Times for moves double, so the later half of few epochs holds one: what moves may yet
    bring is waited for.
    """
    later = min(MOST_PATIENCE, max(PATIENCE, len(scores) // 2 + 1))
    return len(scores) > later and max(scores[-later:]) < max(scores[:-later]) + NEAR
