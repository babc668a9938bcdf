"""`python -m tests.bench.features`: how much faster than the plain librosa script, as one JSON line.

Both sides run on one thread, in turn, on the same 30 s of 44.1 kHz stereo; a ratio is the median processor
time of the librosa script over ours. `decode_share` is the part of our own time that decoding and resampling
take.
"""

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1", NUMBA_NUM_THREADS="1")

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile as sf

from features.decode import decode
from features.extract import extract
from features.frames import frame_features
from features.spec import PRESETS
from tests.oracles import librosa_script

_SPEC = PRESETS["paper-52"]
_SECONDS = 30
_RATE_HZ = 44100
_REPEATS = 9


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: Path(folder) / f"clip.{name}" for name in ("wav", "flac", "ogg", "mp3")}
        for path in paths.values():
            sf.write(path, _chords(), _RATE_HZ)
        waveform = librosa_script.load(str(paths["wav"]))
        result = {"features_ratio": _features_ratio(waveform)}
        for name, path in paths.items():
            result |= {f"{name}_{key}": value for key, value in _file_figures(path).items()}
    print(json.dumps({key: round(value, 3) for key, value in result.items()}))


def _features_ratio(waveform: np.ndarray) -> float:
    script, ours = _medians(
        lambda: librosa_script.features(waveform),
        lambda: frame_features(waveform, _SPEC),
    )
    return script / ours


def _file_figures(path: Path) -> dict[str, float]:
    data = path.read_bytes()
    script, ours, decoding = _medians(
        lambda: librosa_script.features(librosa_script.load(str(path))),
        lambda: extract(data, path.name, _SPEC),
        lambda: decode(data, path.name, _SPEC),
    )
    return {"ratio": script / ours, "ms": 1e3 * ours, "decode_share": decoding / ours}


def _medians(*tasks: Callable[[], object]) -> list[float]:
    """Median processor seconds of each task, after one unmeasured round; the tasks take turns."""
    times: list[list[float]] = [[] for _ in tasks]
    for turn in range(_REPEATS + 1):
        for task, seconds in zip(tasks, times, strict=True):
            start = time.process_time()
            task()
            if turn:
                seconds.append(time.process_time() - start)
    return [statistics.median(seconds) for seconds in times]


def _chords() -> np.ndarray:
    """Changing chords, a beat and some noise: (n_samples, 2) float32."""
    rng = np.random.default_rng(0)
    time_seconds = np.arange(_SECONDS * _RATE_HZ) / _RATE_HZ
    roots = 220 * 2 ** (rng.integers(0, 12, _SECONDS) / 12)
    root = roots[time_seconds.astype(int)]
    tone = sum(np.sin(2 * np.pi * root * step * time_seconds) / step for step in (1, 1.25, 1.5, 2, 3, 4, 5))
    beat = np.exp(-20 * (time_seconds % 0.5))
    noise = rng.standard_normal((len(time_seconds), 2))
    return (0.1 * tone[:, None] + 0.1 * beat[:, None] * noise + 0.005 * noise).astype(np.float32)


if __name__ == "__main__":
    main()
