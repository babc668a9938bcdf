"""`python -m tests.bench.upload --device cuda`: whether a GPU waits for its mini-batches, as one JSON line.

Packed mini-batches (as data workers leave them in Ray's object store: pageable arrays) go through
`jobs.train.feed.upload.loaded`, pinned memory and a side stream, into `hdpgmm.training_step.learn`. `step_seconds` is a
step of that, `bare_seconds` the same step on mini-batches already on the device, `wait_share` how long the trainer's
thread waited for the next mini-batch; the first of each is not counted. Needs torch and numpy alone, and pyarrow for
the packages' imports.
"""

import argparse
import itertools
import json
import time
from collections.abc import Iterable, Iterator

import numpy as np
import torch

from hdpgmm import training_step
from hdpgmm.local_step.posterior import LocalOptions
from hdpgmm.ragged import Ragged, ragged
from jobs.train.feed.plan import Batch, Places
from jobs.train.feed.upload import Loaded, Packed, loaded
from tests.bench.engine import Size, first_state, synthetic


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.upload")
    for name, default in (("songs", 1024), ("components", 256), ("dim", 52), ("steps", 20), ("batches", 4)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    options = parser.parse_args()
    print(json.dumps(measure(options, torch.device(options.device))))


def measure(options: argparse.Namespace, device: torch.device) -> dict[str, object]:
    """Steps of the same mini-batches from both places."""
    size = Size(options.songs, options.components, 32, options.dim, 0)
    corpus = synthetic(size, device)
    state = first_state(corpus, size, LocalOptions())
    values = corpus.values.cpu().numpy()
    batch = Batch(0, 0, False, 0, Places(*(np.zeros(size.songs, np.int32) for _ in range(4))))
    packed = [
        (batch, ragged(corpus.lengths, np.roll(values, i, 0))) for i in range(options.batches)
    ]  # memory of their own
    there = [(batch, Ragged(torch.from_numpy(some.values).to(device), corpus.offsets)) for _, some in packed]
    n_steps, settings = options.steps + 1, training_step.Settings(n_components=options.components)

    def cycled(batches: Iterable[Packed | Loaded]) -> Iterator[Packed | Loaded]:
        return itertools.islice(itertools.cycle(batches), n_steps)

    def run(batches: Iterator[Loaded]) -> tuple[float, float]:
        """Seconds of a step, and of waiting for one, after the first."""
        now, seconds, waited = state, [], []
        while True:
            started = time.perf_counter()
            item = next(batches, None)
            arrived = time.perf_counter()
            if item is None:
                return float(np.mean(seconds[1:])), float(np.mean(waited[1:]))
            songs = item[1]
            now, _ = training_step.learn(now, songs, 10 * size.songs, settings)
            if device.type == "cuda":
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - started)
            waited.append(arrived - started)

    bare, _ = run(cycled(there))  # pyright: ignore[reportArgumentType]
    step, waited = run(loaded(cycled(packed), device))  # pyright: ignore[reportArgumentType]
    return {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "frames": len(values),
        "megabytes": values.nbytes / 2**20,
        "step_seconds": step,
        "bare_seconds": bare,
        "wait_share": waited / step,
        "frames_per_second": len(values) / step,
    }


if __name__ == "__main__":
    main()
