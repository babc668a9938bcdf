"""`python -m features.worker --spec JSON`: extraction in its own process, so that a decoder may crash.

JSON holds the fields of the feature specification that differ from its defaults.
Messages are a 4-byte big-endian length, that many bytes of JSON, and raw bytes whose number the JSON gives.
Request {"id", "name", "bytes"} + the file. Answer {"id", "ok": true, "shape", "dtype", "duration_seconds",
"sample_rate", "channels", "decoder", "missing_seconds", "fallback"} + little-endian frames, or {"id", "ok": false,
"reason", "message"}. {"ready": true} comes first; the end of the input ends the process.
"""

import argparse
import ctypes
import json
import os
import signal
import struct
import sys
from typing import Any, BinaryIO

# Before numpy is imported, below: a pool runs one worker a core.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1", NUMBA_NUM_THREADS="1")

import numpy as np

from features.errors import BadTrack
from features.extract import extract
from features.spec import FeatureSpec
from features.spectral.frames import frame_features

_LENGTH = struct.Struct(">I")
_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Answer requests on standard input until it ends."""
    parser = argparse.ArgumentParser(prog="features.worker", description="Extraction requests on stdin.")
    parser.add_argument("--spec", default="{}", metavar="JSON", help="fields of the feature specification")
    spec = FeatureSpec(**json.loads(parser.parse_args().spec))
    _die_with_parent()
    answers = _claim_stdout()
    _warm_up(spec)
    _write(answers, {"ready": True})
    serve(sys.stdin.buffer, answers, spec)


def serve(requests: BinaryIO, answers: BinaryIO, spec: FeatureSpec) -> None:
    """Answer every request in order. Raises EOFError where the input ends inside a message."""
    while (request := _read_request(requests)) is not None:
        try:
            data = _read_exactly(requests, request["bytes"])
            header, payload = _answer(data, request["name"], spec)
        except MemoryError as error:
            header, payload = {"ok": False, "reason": "OOM", "message": f"out of memory: {error}"}, b""
        _write(answers, {"id": request["id"], **header}, payload)


def _answer(data: bytes, name: str, spec: FeatureSpec) -> tuple[dict[str, Any], bytes]:
    try:
        track = extract(data, name, spec)
    except BadTrack as bad:
        return {"ok": False, "reason": bad.reason, "message": bad.message}, b""
    header = {
        "ok": True,
        "shape": list(track.frames.shape),
        "dtype": spec.dtype.str,
        "duration_seconds": track.duration_seconds,
        "sample_rate": track.sample_rate,
        "channels": track.channels,
        "decoder": track.decoder,
        "missing_seconds": track.missing_seconds,
        "fallback": track.fallback,
    }
    return header, track.frames.astype(spec.dtype, copy=False).tobytes()


def _read_request(stream: BinaryIO) -> dict[str, Any] | None:
    """The JSON of the next request, or None at the end of the input."""
    first = stream.read(1)
    if not first:
        return None
    (length,) = _LENGTH.unpack(first + _read_exactly(stream, _LENGTH.size - 1))
    return json.loads(_read_exactly(stream, length))


def _read_exactly(stream: BinaryIO, n_bytes: int) -> bytes:
    data = stream.read(n_bytes)
    if len(data) < n_bytes:
        raise EOFError(f"the input ended after {len(data)} of {n_bytes} bytes of a message")
    return data


def _write(stream: BinaryIO, header: dict[str, Any], payload: bytes = b"") -> None:
    text = json.dumps(header).encode()
    stream.write(_LENGTH.pack(len(text)) + text)
    stream.write(payload)
    stream.flush()


def _claim_stdout() -> BinaryIO:
    """The original standard output; descriptor 1 becomes standard error, where C libraries may print."""
    sys.stdout.flush()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


def _die_with_parent() -> None:
    """Ask Linux for SIGKILL when the parent dies; elsewhere the end of the input must do."""
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("the parent died before the worker started")


def _warm_up(spec: FeatureSpec) -> None:
    """Run the features once, so that no track's deadline pays for first calls."""
    if spec.frames:
        return
    noise = np.random.default_rng(0).standard_normal(spec.sample_rate).astype(np.float32)
    frame_features(noise, spec)


if __name__ == "__main__":
    main()
