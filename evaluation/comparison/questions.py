"""What a representation can be asked, all in the same way: labels and numbers by a probe, plays by recommendation."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from evaluation.comparison.cells import CHANCE, MAJORITY, Cell, score_chance, score_majority, score_vectors
from evaluation.probing.splits import Splits
from evaluation.probing.tasks import Task
from evaluation.recommendation.protocol import KNOWN, Recommendation, score_known, score_recommendation

# The rows of a label column that know no vector, in the order of the tables.
GUESSES: Mapping[str, Callable[["Probed"], list[Cell]]] = {
    CHANCE: lambda asked: score_chance(asked.task, asked.splits, asked.seed),
    MAJORITY: lambda asked: score_majority(asked.task, asked.splits, asked.bootstrap, asked.seed),
}


@dataclass(frozen=True)
class Probed:
    """A label column and its splits; `bootstrap` resamples of the test songs, drawn from `seed`."""

    task: Task
    splits: Splits
    bootstrap: int
    seed: int

    without_vectors = tuple(GUESSES)

    @property
    def songs(self) -> tuple[str, ...]:
        """The songs whose vectors are needed, in order."""
        return self.task.songs

    @property
    def name(self) -> str:
        """The task's name."""
        return self.task.name

    @property
    def about(self) -> str:
        """Its size, for people."""
        labels = f", {len(self.task.classes)} labels" if self.task.classes else ""
        return f"{len(self.songs)} songs{labels}"

    @property
    def digest(self) -> str:
        """Changes with anything an answer depends on, but the vectors."""
        return f"{self.splits.digest} {self.bootstrap} {self.seed}"

    def score(self, name: str, x: np.ndarray) -> list[Cell]:
        """The scores of vectors x (song, dim), in the order of `songs`."""
        return score_vectors(name, x, self.task, self.splits, self.bootstrap, self.seed)

    def score_without(self, name: str) -> list[Cell]:
        """The scores of a row that knows no vector, one of `without_vectors`."""
        return GUESSES[name](self)


@dataclass(frozen=True)
class Recommended:
    """Plays of users; `bootstrap` resamples of the test users."""

    recommendation: Recommendation
    bootstrap: int

    without_vectors = tuple(KNOWN)

    @property
    def songs(self) -> tuple[str, ...]:
        """The songs whose vectors are needed, in order."""
        return self.recommendation.songs

    @property
    def name(self) -> str:
        """The task's name."""
        return self.recommendation.name

    @property
    def about(self) -> str:
        """Its size, for people."""
        users, songs = self.recommendation.plays.shape  # pyright: ignore
        return f"{songs} songs, {users} users"

    @property
    def digest(self) -> str:
        """Changes with anything an answer depends on, but the vectors."""
        return f"{self.recommendation.digest} {self.bootstrap}"

    def score(self, name: str, x: np.ndarray) -> list[Cell]:
        """The scores of item-kNN on vectors x (song, dim), in the order of `songs`."""
        return score_recommendation(name, x, self.recommendation, self.bootstrap)

    def score_without(self, name: str) -> list[Cell]:
        """The scores of a row that knows no vector, one of `without_vectors`."""
        return score_known(name, self.recommendation, self.bootstrap)


Question = Probed | Recommended
