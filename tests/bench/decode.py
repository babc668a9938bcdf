"""`python -m tests.bench.decode FOLDER...`: seconds and waveform of every audio file against the ffmpeg command's.

Prints the files that differ and one JSON line: `files`, `hours`, `refused_only_here` (set aside by us, played by
ffmpeg),
`refused_only_there`, `seconds_differ` (by more than 0.1 s), `samples_differ` (as long, but with a sample further apart
than 0.01 of full scale), `second_decoder`, `incomplete`. `--out FILE.jsonl` keeps a line a file, and a second call
does what is missing. Needs ffmpeg on the PATH; what it decodes is mixed down here, at the file's own rate.
"""

import argparse
import dataclasses
import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from features.audio.decode import Audio, decode
from features.errors import BadTrack
from features.spec import FeatureSpec
from infra.progress import Progress

_FAR = 0.01
_SECONDS = 0.1
_LAGS = 3000  # samples
_ENDINGS = re.compile(
    r"\.(mp[23]|og[ga]|opus|spx|flac|wav|rf64|w64|aif[fc]?|au|snd|caf|m4a|mp4|aac|wma|webm|mk[av]|mov|3gp)$",
    re.I,
)


def main() -> None:
    """Compare every audio file under some folders."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, help="a line for each file, continued by a second call")
    parser.add_argument("--seconds", type=float, default=10_800.0, help="longer files are left out")
    options = parser.parse_args()
    known = _known(options.out)
    files = [path for folder in options.folders for path in _audio(folder)]
    with Progress(len(files), "files", "decode") as progress:
        for path in files:
            if str(path) not in known:
                known[str(path)] = compare(path, FeatureSpec(max_seconds=options.seconds))
                if options.out:
                    with options.out.open("a") as file:
                        file.write(json.dumps(known[str(path)]) + "\n")
            progress.advance()
    rows = [known[str(path)] for path in files]
    for row in rows:
        if wrong(row):
            print(json.dumps(row))
    print(json.dumps(summary(rows)))


def compare(path: Path, spec: FeatureSpec) -> dict[str, Any]:
    """What we make of a file and what ffmpeg does."""
    theirs, rate = ffmpeg(path)
    row: dict[str, Any] = {"file": str(path), "ffmpeg_seconds": len(theirs) / rate if rate else None}
    data = path.read_bytes()
    try:
        ours = decode(data, path.name, dataclasses.replace(spec, sample_rate=rate or spec.sample_rate))
    except BadTrack as bad:
        return {**row, "reason": bad.reason, "message": bad.message}
    row |= {"seconds": ours.duration_seconds, "decoder": ours.decoder, "fallback": ours.fallback}
    row["missing_seconds"] = ours.missing_seconds
    return row | (_differences(ours, theirs) if rate == ours.source_rate else {})


def _differences(ours: Audio, theirs: np.ndarray) -> dict[str, Any]:
    """The largest difference of samples, and by how many samples we are late in the last ten seconds."""
    n = min(len(ours.samples), len(theirs))
    if not n:
        return {}
    apart = float(np.abs(ours.samples[:n] - theirs[:n]).max())
    return {
        "apart": apart,
        "lag": 0 if apart < _FAR else _lag(theirs[:n][-441_000:], ours.samples[:n][-441_000:]),
    }


def _lag(one: np.ndarray, two: np.ndarray) -> int:
    size = 1 << (2 * len(one) - 1).bit_length()
    cross = np.fft.irfft(np.fft.rfft(two, size) * np.fft.rfft(one, size).conj(), size)
    near = np.concatenate([cross[-_LAGS:], cross[: _LAGS + 1]])
    return int(np.argmax(near)) - _LAGS


def wrong(row: dict[str, Any]) -> bool:
    """Whether a file is one of those that differ."""
    if (row["ffmpeg_seconds"] is None) != ("reason" in row):
        return True
    if "reason" in row:
        return False
    return abs(row["seconds"] - row["ffmpeg_seconds"]) > _SECONDS or row.get("apart", 0.0) > _FAR


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The counts of the JSON line."""
    read = [row for row in rows if "reason" not in row]
    both = [row for row in read if row["ffmpeg_seconds"]]
    length = [row for row in both if abs(row["seconds"] - row["ffmpeg_seconds"]) > _SECONDS]
    return {
        "files": len(rows),
        "hours": round(sum(row["seconds"] for row in read) / 3600, 2),
        "refused_only_here": sum("reason" in row and bool(row["ffmpeg_seconds"]) for row in rows),
        "refused_only_there": len(read) - len(both),
        "seconds_differ": len(length),
        "samples_differ": sum(row.get("apart", 0.0) > _FAR for row in both),
        "second_decoder": sum(row["fallback"] is not None for row in read),
        "incomplete": sum(row["missing_seconds"] > 0 for row in read),
    }


def ffmpeg(path: Path) -> tuple[np.ndarray, int]:
    """Mono samples and rate as ffmpeg gives them; no rate where it gives none."""
    command = [
        "ffmpeg",
        "-v",
        "quiet",
        "-nostdin",
        "-i",
        path,
        "-map",
        "0:a:0",
        "-f",
        "wav",
        "-c:a",
        "pcm_f32le",
        "-",
    ]
    raw = subprocess.run(command, capture_output=True).stdout
    start = raw.find(b"data") + 8
    if start < 8 or len(raw) <= start:
        return np.empty(0, np.float32), 0
    channels, rate = int.from_bytes(raw[22:24], "little"), int.from_bytes(raw[24:28], "little")
    samples = np.frombuffer(raw, "<f4", (len(raw) - start) // (4 * channels) * channels, start)
    return samples.reshape(-1, channels).mean(axis=1), rate


def _known(out: Path | None) -> dict[str, dict[str, Any]]:
    if out is None or not out.exists():
        return {}
    return {row["file"]: row for row in map(json.loads, out.read_text().splitlines())}


def _audio(folder: Path) -> Iterator[Path]:
    for base, _, names in os.walk(folder):
        for name in sorted(names):
            if _ENDINGS.search(name):
                yield Path(base, name)


if __name__ == "__main__":
    main()
