"""`python -m tests.bench.quality.splits`: are repeats of grouped splits other splits each time? One JSON line.

Mean adjusted Rand index (scikit-learn's) between the folds of `--repeats` repeats, over `--seeds` seeds: `ours`;
`alone`, each artist's fold drawn independently; `sklearn`, StratifiedGroupKFold, and `groups`, GroupKFold, shuffled by
other seeds. `worst_ratio` is the largest of ours / alone. Beside it how far balance is from perfect, of each splitter,
means over repeats: `share`, the largest difference between a label's share of a fold and of the corpus; `size`, the
largest between a fold's share of the songs and 1 / 5. On the labels of ../shared/music (genre, tags, and a made-up
number that artists have in common), and on made-up corpora: one artist a genre, five a genre, of equal sizes and not.
"""

import argparse
import json
import warnings
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from pyarrow import csv
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

from evaluation.probing import tasks
from evaluation.probing.splits import VALUE_STRATA, make_splits
from evaluation.probing.tasks import Task

FOLDS = 5
DRAWS = 400  # pairs of independent draws


def music(folder: Path) -> Iterator[Task]:
    """Genre and tags of the clips, and a number that is much the same within an artist."""
    table = csv.read_csv(folder / "labels.csv").to_pydict()
    ids, artists = table["clip"], table["artist"]
    yield _task(tasks.single_label("music genre", ids, table["genre"], artists, 2))
    tags = [None if not row else row.split("|") for row in table["tags"]]
    yield _task(tasks.multi_label("music tags", ids, tags, artists, 2))
    rng = np.random.default_rng(0)
    own = {artist: rng.normal() for artist in dict.fromkeys(artists)}
    numbers = [own[artist] + 0.3 * rng.normal() for artist in artists]
    yield _task(tasks.value("music number", ids, numbers, artists, 2))


def _task(made: Task | tasks.Skipped) -> Task:
    if isinstance(made, tasks.Skipped):
        raise SystemExit(f"{made.name}: {made.reason}")
    return made


def made_up(name: str, genres: int, artists: int, spread: float) -> Task:
    """So many artists of one genre each, of 10 songs (median; spread: SD of the logarithm of how many)."""
    rng = np.random.default_rng(0)
    sizes = np.maximum(1, np.round(10 * np.exp(spread * rng.normal(size=genres * artists)))).astype(int)
    groups = np.repeat(np.arange(genres * artists), sizes)
    classes = tuple(f"genre {i}" for i in range(genres))
    songs = tuple(f"song {i}" for i in range(len(groups)))
    return Task(name, "single", songs, groups // artists, classes, groups, ())


def strata(task: Task) -> np.ndarray:
    """What scikit-learn is told: the class, a song's rarest tag, a fifth of the numbers."""
    if task.kind == "single":
        return task.targets
    if task.kind == "value":
        return np.argsort(np.argsort(task.targets)) * VALUE_STRATA // len(task.songs)
    rarity = np.where(task.targets, task.targets.sum(axis=0), len(task.songs))
    return np.where(task.targets.any(axis=1), rarity.argmin(axis=1), len(task.classes))


def repeats_of(task: Task, how: str, repeats: int, seed: int) -> list[np.ndarray]:
    """The fold of each song (song,) in every repeat."""
    if how == "ours":
        made = [[fold.test for fold in folds] for folds in make_splits(task, repeats, FOLDS, seed).repeats]
    else:
        kind = StratifiedGroupKFold if how == "sklearn" else GroupKFold
        seeds = [seed + 1000 * repeat for repeat in range(repeats)]
        splitters = [kind(FOLDS, shuffle=True, random_state=own) for own in seeds]
        labels = strata(task)
        made = [[test for _, test in splitter.split(labels, labels, task.groups)] for splitter in splitters]
    found = []
    for tests in made:
        tested = np.full(len(task.songs), -1)
        for fold, test in enumerate(tests):
            tested[test] = fold
        found.append(tested)
    return found


def alone(task: Task, rng: np.random.Generator) -> float:
    """Mean index between folds drawn for each artist independently."""
    assert task.groups is not None
    codes = np.unique(task.groups, return_inverse=True)[1]
    drawn = rng.integers(0, FOLDS, (DRAWS, 2, codes.max() + 1))[:, :, codes]
    return float(np.mean([adjusted_rand_score(one, other) for one, other in drawn]))


def unbalanced(task: Task, tested: np.ndarray) -> tuple[float, float]:
    """The largest differences of a label's share, and of a fold's size."""
    marks = task.targets if task.kind == "multi" else np.eye(int(strata(task).max()) + 1)[strata(task)]
    parts = [marks[tested == fold] for fold in np.unique(tested)]
    share = max(float(np.abs(part.mean(axis=0) - marks.mean(axis=0)).max()) for part in parts)
    return share, max(abs(len(part) / len(marks) - 1 / FOLDS) for part in parts)


def row(task: Task, repeats: int, seeds: int) -> dict[str, Any]:
    """The figures of a corpus."""
    found: dict[str, Any] = {"alone": alone(task, np.random.default_rng(0))}
    for how, name in (("ours", ""), ("sklearn", "_sklearn"), ("groups", "_groups")):
        dealt = [repeats_of(task, how, repeats, seed) for seed in range(seeds)]
        pairs = [adjusted_rand_score(*pair) for same in dealt for pair in combinations(same, 2)]
        found[how] = float(np.mean(pairs))
        balance = np.array([unbalanced(task, tested) for same in dealt for tested in same])
        found[f"share{name}"], found[f"size{name}"] = balance.mean(axis=0).tolist()
    found["ratio"] = found["ours"] / found["alone"]
    return {name: round(value, 3) for name, value in found.items()}


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.quality.splits", description=__doc__)
    parser.add_argument(
        "--music", type=Path, default=Path("../shared/music"), help="a folder with labels.csv"
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=10)
    options = parser.parse_args()
    warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
    corpora = [
        *music(options.music),
        *(
            made_up(f"{text}, {artists * genres} artists{more}", genres, artists, spread)
            for spread, more in ((0.0, ""), (1.2, ", sizes differ"))
            for text, artists in (("one artist a genre", 1), ("five artists a genre", 5))
            for genres in (10, 20)
        ),
    ]
    rows = {task.name: row(task, options.repeats, options.seeds) for task in corpora}
    print(json.dumps({"worst_ratio": max(found["ratio"] for found in rows.values()), **rows}))


if __name__ == "__main__":
    main()
