"""Recommendation at full size: `python -m tests.bench.quality.recommendation`, one JSON line.

Generated users whose taste is a mixture over components play songs whose shares are known; their plays are written in
Echonest's layout, read again, and every row of the table is scored: the true shares, blurred ones, noise, popularity,
chance and EASE. Says whether the order of representations is the right one, how long each part took, and the memory.
"""

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.comparison.cells import CHANCE, summarise
from evaluation.recommendation.protocol import (
    EASE,
    POPULAR,
    Protocol,
    Recommendation,
    score_known,
    score_recommendation,
)
from infra.config import RecommendationConfig
from infra.datasets.plays import read_plays

COMPONENTS = 256
BLUR = {"clear": 0.0, "blurred": 0.5, "dim": 1.5}  # noise beside the shares, in their own SD
RIGHT = [*BLUR, "noise"]


def shares(songs: int, rng: np.random.Generator, alpha: float = 0.05) -> np.ndarray:
    """(song, component): a few components a song, float32."""
    drawn = rng.standard_gamma(alpha, (songs, COMPONENTS)).astype(np.float32)
    drawn[drawn < 1e-3] = 0.0  # denormal numbers would slow every product
    return drawn / np.maximum(drawn.sum(1, keepdims=True), 1e-12)


def write_plays(path: Path, users: int, vectors: np.ndarray, mean: float, rng: np.random.Generator) -> int:
    """Triplets of users whose taste is a mixture over components; popularity is skewed. Returns the plays."""
    popular, count = rng.lognormal(0.0, 1.0, len(vectors)).astype(np.float32), 0
    with path.open("w") as file:
        for start in range(0, users, 2000):
            size = min(2000, users - start)
            taste = shares(size, rng, 0.01)
            wanted = (taste @ vectors.T) * popular
            edges = wanted.cumsum(1)
            lengths = 2 + rng.geometric(1 / (mean - 2), size)
            for user in range(size):
                at = np.searchsorted(edges[user], rng.random(lengths[user]) * edges[user, -1])
                songs = np.unique(np.minimum(at, len(vectors) - 1))
                name = f"{start + user:040x}"
                file.write("".join(f"{name}\tSO{song:016d}\t1\n" for song in songs))
                count += len(songs)
    return count


def rows(
    recommendation: Recommendation, vectors: np.ndarray, rng: np.random.Generator
) -> Iterator[tuple[str, Any]]:
    """Names and what scores them."""
    for name in (CHANCE, POPULAR, EASE):
        yield name, lambda name=name: score_known(name, recommendation, 1000)
    root = np.sqrt(vectors)
    for name, blur in BLUR.items():
        noisy = root + blur * root.std() * rng.standard_normal(root.shape, dtype=np.float32)
        yield name, lambda name=name, noisy=noisy: score_recommendation(name, noisy, recommendation, 1000)
    noise = rng.standard_normal(root.shape, dtype=np.float32)
    yield "noise", lambda: score_recommendation("noise", noise, recommendation, 1000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=500_000)
    parser.add_argument("--songs", type=int, default=40_000)
    parser.add_argument("--plays", type=float, default=24.0, help="of a user, on average")
    asked = parser.parse_args()
    rng, seconds = np.random.default_rng(0), {}
    with tempfile.TemporaryDirectory() as folder:
        vectors, file = shares(asked.songs, rng), Path(folder) / "train_triplets.txt"
        plays = write_plays(file, asked.users, vectors, asked.plays, rng)
        size, start = file.stat().st_size, time.perf_counter()
        names = [f"SO{song:016d}.mp3" for song in range(asked.songs)]
        defaults = RecommendationConfig()  # pyright: ignore[reportCallIssue]
        read = read_plays(str(file), None, names, defaults.min_users, defaults.min_songs)
        seconds["read"] = time.perf_counter() - start
    drawn = {
        name: getattr(defaults, name) for name in ("validation", "test", "known", "splits", "at", "mask_seen")
    }
    protocol = Protocol(**drawn, neighbours=defaults.neighbours, ease_songs=defaults.ease_songs, seed=0)
    recommendation = Recommendation("recommendation", read.tracks, read.plays, protocol)
    order = np.array([int(track[2:18]) for track in read.tracks])
    cells = []
    for name, score in rows(recommendation, vectors[order], rng):
        start = time.perf_counter()
        cells += score()
        seconds[name] = time.perf_counter() - start
        print(f"{name}: {cells[-1].values} in {seconds[name]:.1f} s", flush=True)
    table = {row.representation: row for row in summarise(cells)}
    found = [
        row.representation
        for row in sorted(table.values(), key=lambda r: -r.mean)
        if row.representation in RIGHT
    ]
    line = {
        "users": int(recommendation.plays.shape[0]),  # pyright: ignore
        "songs": len(recommendation.songs),
        "plays": plays,
        "file_mb": size / 1e6,
        "ndcg": {name: row.mean for name, row in table.items()},
        "interval": {name: (row.low, row.high) for name, row in table.items()},
        "right_order": found == RIGHT,
        "seconds": {**seconds, "all": sum(seconds.values())},
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
