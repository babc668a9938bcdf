"""From audio to neighbours: `python -m tests.bench.similar --root OUT --audio FILE`, one JSON line.

Seconds of the whole path in a process that has started (imports done; the first call loads compiled code), and of the
exact search alone on generated vectors of `--songs` songs in memory.
"""

import argparse
import json
import time

import numpy as np

from evaluation.similar import centre_of, nearest
from infra.config import load
from jobs import similar


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", required=True)
    parser.add_argument("--audio", required=True)
    parser.add_argument("--songs", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=256)
    asked = parser.parse_args()
    config, seconds = load(None, (), root=asked.root), []
    for _ in range(3):
        start = time.perf_counter()
        similar.run(config, None, None, asked.audio, 10)
        seconds.append(time.perf_counter() - start)
    rng, part = np.random.default_rng(0), 50_000
    ids = [f"{i:06}" for i in range(part)]
    vectors = rng.random((part, asked.dim), dtype=np.float32)
    parts = [(ids, vectors)] * max(1, asked.songs // part)
    start = time.perf_counter()
    centre = centre_of(parts)
    centred = time.perf_counter()
    nearest(vectors[0], parts, centre, 10)
    line = {
        "songs": part * len(parts),
        "dim": asked.dim,
        "first_seconds": seconds[0],
        "path_seconds": min(seconds[1:]),
        "centre_seconds": centred - start,
        "search_seconds": time.perf_counter() - centred,
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
