"""`python -m tests.bench.extract`: how much faster than the plain librosa script, as one JSON line.

The plain script is the one that a user would write, with one spectrogram shared among librosa's functions. Both sides
run on one thread, each in a process of its own (ours in the environment of an extraction child), in turn, on 44.1 kHz
stereo; a ratio is the least processor time of the script over ours, a file's includes decoding. `decode_share` is the
part of our own time that decoding, mixing down and resampling take. `two_actor_scaling` is tracks a second of two
extraction children at once over those of one, by the clock.

`--memory` prints the peak resident memory in MB of a process for tracks of 30 s to 3 h instead (ten minutes).
`--music FOLDER` compares the values with the plain script's on every file of a folder.
"""

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1", NUMBA_NUM_THREADS="1")

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
from rich.console import Console
from rich.table import Table

from features.audio.decode import decode
from features.errors import BadTrack
from features.extract import extract
from features.spec import PRESETS
from features.spectral.frames import frame_features
from infra.workers.isolate import Extracted, Isolated
from jobs.extract.worker import child_command, child_environment
from tests.oracles import librosa_script

_SPEC = PRESETS["paper-52"]
_RATE_HZ = 44100
_REPEATS = 9
_CONSTANT_128_KBIT = 2 / 3  # libsndfile's compression level, 0 for 320 kbit/s and 1 for 32
_SCALING_SECONDS = 8.0
_LENGTHS_SECONDS = {"30 s": 30, "4 min": 240, "60 min": 3600, "3 h": 10800}


def _chords(seconds: int) -> np.ndarray:
    """Changing chords, a beat and some noise: (n_samples, 2) float32."""
    rng = np.random.default_rng(0)
    time_seconds = np.arange(seconds * _RATE_HZ) / _RATE_HZ
    roots = 220 * 2 ** (rng.integers(0, 12, seconds) / 12)
    root = roots[time_seconds.astype(int)]
    tone = sum(np.sin(2 * np.pi * root * step * time_seconds) / step for step in (1, 1.25, 1.5, 2, 3, 4, 5))
    beat = np.exp(-20 * (time_seconds % 0.5))
    noise = rng.standard_normal((len(time_seconds), 2))
    return (0.1 * tone[:, None] + 0.1 * beat[:, None] * noise + 0.005 * noise).astype(np.float32)


_CHORDS = _chords(30)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.extract", description=__doc__)
    parser.add_argument("--memory", action="store_true", help="peak memory by length of track")
    parser.add_argument("--music", type=Path, metavar="FOLDER", help="compare the values on its files")
    parser.add_argument("--side", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        side()
        return
    if options.memory:
        result = {length: peak_megabytes(seconds) for length, seconds in _LENGTHS_SECONDS.items()}
    elif options.music:
        result = largest_differences(options.music)
    else:
        result = speed()
    print(json.dumps({key: float(f"{value:.4g}") for key, value in result.items()}))


def speed() -> dict[str, float]:
    """The ratios, and what share of our time is the decoder's."""
    with tempfile.TemporaryDirectory() as folder, _Side(_plain_environment()) as script:
        with _Side(child_environment(0)) as ours:
            clips = {name: Path(folder) / f"clip.{name}" for name in ("wav", "flac", "ogg", "mp3")}
            for path in clips.values():
                _write(path, 30)
            long = Path(folder) / "long.mp3"
            _write(long, 240)
            table, shares = Table("30 s, ms", "script", "ours", "of it decoding", "ratio"), {}
            theirs, mine = _least_seconds((script, "script features"), (ours, "features"), path=clips["wav"])
            table.add_row("features", f"{1e3 * theirs:.1f}", f"{1e3 * mine:.1f}", "", f"{theirs / mine:.2f}")
            result = {"features_ratio": theirs / mine, "features_ms": 1e3 * mine}
            for name, path in {**clips, "mp3_4min": long}.items():
                theirs, mine, decoding = _least_seconds(
                    (script, "script"), (ours, "extract"), (ours, "decode"), path=path
                )
                result |= {f"{name}_ratio": theirs / mine, f"{name}_ms": 1e3 * mine}
                shares[f"{name}_decode_share"] = decoding / mine
                figures = (f"{1e3 * seconds:.1f}" for seconds in (theirs, mine, decoding))
                table.add_row(name, *figures, f"{theirs / mine:.2f}")
        Console(stderr=True).print(table)
        result |= shares | {"decode_share": shares["mp3_decode_share"]}
        return result | {"two_actor_scaling": _scaling(clips["mp3"].read_bytes())}


def _plain_environment() -> dict[str, str]:
    """A user's own, and one thread."""
    return {**os.environ, "PYTHONPATH": os.getcwd()}


class _Side:
    """A process that runs tasks when asked and says what processor time they took; a context manager."""

    def __init__(self, environment: dict[str, str]) -> None:
        command = [sys.executable, "-m", "tests.bench.extract", "--side"]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._process = subprocess.Popen(command, env=environment, **pipes)

    def __enter__(self) -> "_Side":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def seconds(self, task: str, path: Path) -> float:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([task, str(path)]) + "\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())


def side() -> None:
    """Run the tasks asked for on standard input: a line of JSON each, [task, path]."""
    waveforms: dict[str, np.ndarray] = {}
    for line in sys.stdin:
        task, path = json.loads(line)
        if task.endswith("features") and path not in waveforms:
            waveforms[path] = librosa_script.load(path)
        work: dict[str, Callable[[], object]] = {
            "script": lambda path=path: librosa_script.features_from_one_spectrogram(
                librosa_script.load(path)
            ),
            "script features": lambda path=path: librosa_script.features_from_one_spectrogram(
                waveforms[path]
            ),
            "features": lambda path=path: frame_features(waveforms[path], _SPEC),
            "extract": lambda path=path: extract(Path(path).read_bytes(), "track", _SPEC),
            "decode": lambda path=path: decode(Path(path).read_bytes(), "track", _SPEC),
        }
        start = time.process_time()
        work[task]()
        print(time.process_time() - start, flush=True)


def _least_seconds(*tasks: tuple[_Side, str], path: Path) -> list[float]:
    """Least processor seconds of each task, after one unmeasured round; the tasks take turns."""
    times: list[list[float]] = [[] for _ in tasks]
    for turn in range(_REPEATS + 1):
        for (process, task), seconds in zip(tasks, times, strict=True):
            taken = process.seconds(task, path)
            if turn:
                seconds.append(taken)
    return [min(seconds) for seconds in times]


def _scaling(data: bytes) -> float:
    """Tracks a second of two extraction children at once over those of one; the better of three turns."""
    with (
        Isolated(_command(), child_environment(0), 60.0) as one,
        Isolated(_command(), child_environment(1), 60.0) as two,
    ):
        best: dict[int, float] = {}
        for _ in range(3):
            for children in ([one], [one, two]):
                rate = _tracks_a_second(children, data)
                best[len(children)] = max(best.get(len(children), 0.0), rate)
    return best[2] / best[1]


def _tracks_a_second(children: list[Isolated], data: bytes) -> float:
    for child in children:
        child.extract("clip", data)

    def work(child: Isolated) -> int:
        done, end = 0, time.perf_counter() + _SCALING_SECONDS
        while time.perf_counter() < end:
            assert isinstance(child.extract("clip", data), Extracted)
            done += 1
        return done

    with ThreadPoolExecutor(len(children)) as pool:
        started = time.perf_counter()
        return sum(pool.map(work, children)) / (time.perf_counter() - started)


def peak_megabytes(seconds: int) -> float:
    """Of a process that extracts one 128 kbit/s mp3 of this length.

    As Linux counts it for the program itself: getrusage's figure begins with that of the parent.
    """
    script = (
        "import re, sys; from features.extract import extract; from features.spec import PRESETS;"
        "data = sys.stdin.buffer.read(); extract(data, 'track', PRESETS['paper-52']);"
        "print(int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]) / 1024)"
    )

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "track.mp3"
        _write(path, seconds)
        child = [sys.executable, "-c", script]
        run: dict[str, Any] = {"capture_output": True, "check": True, "env": child_environment(0)}
        return float(subprocess.run(child, input=path.read_bytes(), **run).stdout)


def largest_differences(folder: Path) -> dict[str, float]:
    """From the plain script on every file that can be read, by feature block (onset strength not as logarithm)."""
    compared = refused = 0
    worst = dict.fromkeys(_SPEC.features, 0.0)
    for path in sorted(
        path for path in folder.rglob("*") if path.suffix in (".wav", ".flac", ".ogg", ".mp3")
    ):
        try:
            samples = decode(path.read_bytes(), path.name, _SPEC).samples
            ours = frame_features(samples, _SPEC)
        except (BadTrack, ValueError):
            refused += 1
            continue
        script = librosa_script.features(samples)
        assert ours.shape == script.shape
        for name in _SPEC.features:
            theirs, mine = script[:, _SPEC.block(name)], ours[:, _SPEC.block(name)]
            if name == "onset_strength":
                theirs, mine = np.exp(theirs), np.exp(mine)
            worst[name] = max(worst[name], float(np.abs(mine - theirs).max()))
        compared += 1
    return {"compared": compared, "refused": refused, **worst}


def _command() -> list[str]:
    return child_command(_SPEC)


def _write(path: Path, seconds: int) -> None:
    """The chords again and again in a file of the suffix's format; an mp3 at a constant 128 kbit/s."""
    constant: dict[str, Any] = {"bitrate_mode": "CONSTANT", "compression_level": _CONSTANT_128_KBIT}
    with sf.SoundFile(path, "w", _RATE_HZ, 2, **(constant if path.suffix == ".mp3" else {})) as file:
        for _ in range(seconds // 30):
            file.write(_CHORDS)


if __name__ == "__main__":
    main()
