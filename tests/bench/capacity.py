"""`python -m tests.bench.capacity`: what a million tracks need, from rates measured here. A table and one JSON line.

The whole pipeline as its user runs it, on made-up clips: 128 kbit/s stereo mp3s of `--seconds`, K=256, all defaults.
Rates are those that the jobs log, by core: extraction and representing count their workers, training its epochs
without moves and with them (`train.threads` is two). What is extrapolated is linear in tracks: nothing per track grows
with their number but the drivers' tables (`tests.bench.ledger`, 10^6 tracks: 1.8 GB).
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
from rich.console import Console
from rich.table import Table

from infra.root.ledger import Tree
from infra.root.runs import read_record
from infra.storage.store import Store

CORES = 2
DISTINCT = 40  # clips; the others are copies under other names
TIMES = (1e6, 1e8)
EPOCHS = 20  # the most that the defaults make
GPU_FRAMES = 16_495_000  # a second, H200, tests.bench.engine --device cuda, 2026-11-26


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.capacity", description=__doc__)
    parser.add_argument("--tracks", type=int, default=800)
    parser.add_argument("--seconds", type=float, default=30.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="capacity-") as folder:
        result = measure(Path(folder), options.tracks, options.seconds)
    _print(result)
    print(json.dumps({name: float(f"{value:.4g}") for name, value in result.items()}))


def measure(folder: Path, n_tracks: int, seconds: float) -> dict[str, float]:
    """Rates by core and bytes by track."""
    root, music = folder / "root", folder / "music"
    write_clips(music, n_tracks, seconds)
    audio = sum(path.stat().st_size for path in music.iterdir())
    _job("index", "--root", str(root), "--music", str(music))
    _job("extract", "--root", str(root))
    _job("train", "--root", str(root), "--set", "train.epochs=6", "--set", "train.early_stopping=false")
    _job("represent", "--root", str(root))
    store = Store(str(root))
    (fingerprint,), (run,) = store.names("features"), store.names("models")
    features, vectors = (
        Tree(store, f"features/{fingerprint}").latest("default"),
        Tree(store, f"vectors/{run}").latest("default"),
    )
    assert features is not None
    assert vectors is not None
    epochs = json.loads(store.read(f"models/{run}/history.json"))
    speeds = [epoch["frames_per_second"] for epoch in epochs]
    return {
        "seconds": seconds,
        "frames": features.n_frames / features.n_songs,
        "audio_bytes": audio / n_tracks,
        "feature_bytes": sum(shard.bytes for shard in features.shards) / features.n_songs,
        "vector_bytes": sum(shard.bytes for shard in vectors.shards) / vectors.n_songs,
        "components": len(json.loads(store.read(f"models/{run}/summary.json"))["weights"]),
        "extract_tracks_per_core_second": _logged(store, "runs/extract-default", "extract") / CORES,
        "train_songs_per_core_second": max(speeds) * features.n_songs / features.n_frames / CORES,
        "train_songs_per_core_second_with_moves": _harmonic(speeds)
        * features.n_songs
        / features.n_frames
        / CORES,
        "represent_songs_per_core_second": _logged(store, f"runs/represent-{run}", "represent") / CORES,
    }


def write_clips(music: Path, n_tracks: int, seconds: float) -> None:
    """Stereo mp3s of notes in noise; no two of the distinct ones are alike."""
    music.mkdir()
    places = np.arange(int(44100 * seconds)) / 44100
    for number in range(n_tracks):
        path = music / f"{number:06}.mp3"
        if number >= DISTINCT:
            shutil.copy(music / f"{number % DISTINCT:06}.mp3", path)
            continue
        rng = np.random.default_rng(number)
        notes = 110.0 * 2.0 ** (rng.integers(0, 36, int(2 * seconds) + 1) / 12)
        pitch = notes[(2 * places).astype(int)]
        tone = np.sin(2 * np.pi * np.cumsum(pitch) / 44100) * np.exp(-4 * (2 * places % 1))
        mono = 0.4 * tone + 0.02 * rng.normal(size=len(places))
        soundfile.write(path, np.stack([mono, 0.8 * mono], 1), 44100, format="MP3")


def _job(name: str, *arguments: str) -> None:
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", f"jobs.{name}", *arguments, "--set", f"ray.num_cpus={CORES}"], check=True
    )
    print(f"jobs.{name}: {time.perf_counter() - started:.0f} s", file=sys.stderr)


def _logged(store: Store, folder: str, job: str) -> float:
    """Units a second of the last line of progress in a run's log."""
    lines = [json.loads(line)["message"] for line in read_record(store, folder, "log.jsonl").splitlines()]
    found = [re.match(rf"{job}: (\d+)/\1 \w+ ([\d.]+)/s", line) for line in lines]
    return float([match for match in found if match][-1][2])


def _harmonic(speeds: list[float]) -> float:
    return len(speeds) / sum(1 / speed for speed in speeds)


def _print(result: dict[str, float]) -> None:
    table = Table("what", "measured", *(f"{n:.0e} tracks" for n in TIMES))
    rows = {
        "extraction, core hours": result["extract_tracks_per_core_second"],
        "an epoch of training, core hours": result["train_songs_per_core_second_with_moves"],
        "the same without moves, core hours": result["train_songs_per_core_second"],
        "representing, core hours": result["represent_songs_per_core_second"],
    }
    for name, rate in rows.items():
        table.add_row(name, f"{rate:.3g} a core second", *(f"{n / rate / 3600:,.0f}" for n in TIMES))
    gpu = [f"{EPOCHS * n * result['frames'] / GPU_FRAMES / 3600:,.2g}" for n in TIMES]
    table.add_row(f"{EPOCHS} epochs on one H200, hours", f"{GPU_FRAMES:,} frames/s", *gpu)
    for name in ("audio", "feature", "vector"):
        size = result[f"{name}_bytes"]
        table.add_row(
            f"{name}s, GB", f"{size / 1e3:.3g} kB a track", *(f"{n * size / 1e9:,.0f}" for n in TIMES)
        )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
