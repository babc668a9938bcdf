"""`python -m tests.bench.fit --before FOLDER`: the processor time of a fit against an older commit, in one run.

FOLDER is a worktree of that commit (`git worktree add FOLDER a3b73a3`). Both fit `HDPGMM` to the same songs, in
processes of their own on one thread, in turn, for `--seeds` seeds: the older one with `--before-components` first
components (the 64 that its demo asks for), today's with its defaults, or with `--components`. Songs are the demo's
features under `--root` (after `make demo`), or an .npz with `values` (frame, dim) and `lengths` (song,).
`cpu_share_of_before` is the median over seeds of the ratio of processor seconds; `heldout_change` the mean change of
the score of every twentieth song, nats a frame, none of which is fitted. The last line is JSON.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import mean, median
from typing import Any

ONE = """
import json, sys, time
import numpy as np
import torch
torch.set_num_threads(1)
from hdpgmm.estimator import HDPGMM
with np.load(sys.argv[1]) as kept:
    songs = np.split(kept["values"], np.cumsum(kept["lengths"])[:-1])
fitted = [song for i, song in enumerate(songs) if i % 20]
asked = {"n_components": int(sys.argv[3])} if int(sys.argv[3]) else {}
model = HDPGMM(seed=int(sys.argv[2]), **asked)
began = time.process_time()
model.fit(fitted)
seconds = time.process_time() - began
print(json.dumps({"seconds": seconds, "heldout": model.score(songs[::20]), "components": model.n_components_,
                  "epochs": len(model.history_)}))
"""


def one(folder: str, frames: str, seed: int, components: int) -> dict[str, Any]:
    """A fit by the code in a folder; 0 components are its default."""
    environment = {**os.environ, "PYTHONPATH": folder, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-c", ONE, str(Path(frames).absolute()), str(seed), str(components)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=folder, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def frames_of(root: str, out: Path) -> str:
    """The features of a root as one file."""
    import numpy as np

    from infra.config import load
    from infra.root.songs import read_songs
    from infra.storage.store import Store
    from jobs.evaluate.vectors import blocks, songs_of
    from jobs.train.job import training_snapshot

    store = Store(root)
    songs = read_songs(store, training_snapshot(load(None, (), root=root), store)[0])
    found = {
        track: frames
        for block in blocks(store, songs, set(songs["track_id"].to_pylist()))
        for track, frames in songs_of(block)
    }
    ordered = [found[track] for track in sorted(found)]
    np.savez(out, values=np.concatenate(ordered), lengths=[len(frames) for frames in ordered])
    return str(out)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.fit")
    parser.add_argument("--before", required=True, help="a worktree of the commit to compare with")
    parser.add_argument("--root", default="demo/root")
    parser.add_argument("--frames", help="an .npz instead of a root")
    parser.add_argument("--before-components", type=int, default=64)
    parser.add_argument("--components", type=int, default=0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    args = parser.parse_args()
    here = str(Path(__file__).parents[2])
    ratios, changes = [], []
    with tempfile.TemporaryDirectory() as temporary:
        frames = args.frames or frames_of(args.root, Path(temporary) / "frames.npz")
        for seed in args.seeds:
            before = one(str(Path(args.before).absolute()), frames, seed, args.before_components)
            now = one(here, frames, seed, args.components)
            print(json.dumps({"seed": seed, "before": before, "now": now}), flush=True)
            ratios.append(now["seconds"] / before["seconds"])
            changes.append(now["heldout"] - before["heldout"])
    print(
        json.dumps(
            {"cpu_share_of_before": round(median(ratios), 4), "heldout_change": round(mean(changes), 4)}
        )
    )


if __name__ == "__main__":
    main()
