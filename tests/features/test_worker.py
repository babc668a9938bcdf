"""The worker process, spoken to over its pipes."""

import io
import json
import signal
import struct
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from features import worker
from features.extract import extract
from features.spec import PRESETS
from tests.features import signals
from tests.places import REPOSITORY

_SPEC = PRESETS["paper-52"]
_GOOD = signals.encode(signals.stereo(signals.chords(1.0, 44100), 44100), 44100, "mp3")


def _message(header, payload=b""):
    text = json.dumps(header).encode()
    return struct.pack(">I", len(text)) + text + payload


def _request(identifier, data, name="track"):
    return _message({"id": identifier, "name": name, "bytes": len(data)}, data)


def _answers(stream):
    """Every (header, frames or None) until the stream ends."""
    answers = []
    while length := stream.read(4):
        header = json.loads(stream.read(struct.unpack(">I", length)[0]))
        frames = None
        if header.get("ok"):
            shape = header["shape"]
            frames = np.frombuffer(stream.read(4 * shape[0] * shape[1]), "<f4").reshape(shape)
        answers.append((header, frames))
    return answers


def _worker(*arguments):
    command = [sys.executable, *(arguments or ("-m", "features.worker"))]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=REPOSITORY, **pipes)


def test_answers_in_order_and_ends_with_its_input():
    requests = _request("a", _GOOD) + _request(2, b"no audio", "bad.wav") + _request("c", _GOOD)
    process = _worker()
    output, _ = process.communicate(requests, timeout=60)
    ready, first, bad, last = _answers(io.BytesIO(output))
    assert process.returncode == 0
    assert ready[0] == {"ready": True}
    assert [answer[0]["id"] for answer in (first, bad, last)] == ["a", 2, "c"]
    assert bad[0] == {
        "id": 2,
        "ok": False,
        "reason": "NOT_AUDIO",
        "message": "bad.wav: no decoder recognises the content",
    }
    track = extract(_GOOD, "track", _SPEC)
    for header, frames in (first, last):
        # Not the same bits: this process may give the matrix products more than the worker's one thread.
        np.testing.assert_allclose(frames, track.frames, atol=1e-4)
        assert header["shape"] == [track.frames.shape[0], 52]
        assert (header["sample_rate"], header["channels"]) == (44100, 2)
        assert header["duration_seconds"] == track.duration_seconds
        assert header["decoder"] == track.decoder


def test_what_c_libraries_print_does_not_reach_the_answers():
    script = """
        import ctypes, os, sys
        from features import worker
        real = worker.extract
        def noisy(*arguments):
            os.write(1, b"garbage from a C library")
            print("garbage from Python", flush=True)
            return real(*arguments)
        worker.extract = noisy
        sys.argv[1:] = ["--spec", "{}"]
        worker.main()
    """
    process = _worker("-c", textwrap.dedent(script))
    output, errors = process.communicate(_request(1, _GOOD) + _request(2, _GOOD), timeout=60)
    assert [header.get("id") for header, _ in _answers(io.BytesIO(output))] == [None, 1, 2]
    assert errors.count(b"garbage from") == 4


@pytest.mark.skipif(sys.platform != "linux", reason="PDEATHSIG is Linux's")
def test_dies_with_its_parent():
    script = """
        import subprocess, sys
        command = [sys.executable, "-m", "features.worker"]
        child = subprocess.Popen(command, stdin=sys.stdin, stdout=subprocess.PIPE)
        child.stdout.read(4)
        print(child.pid, flush=True)
        sys.stdin.read()
    """
    # The test holds the worker's input open, so its end cannot be what ends the worker.
    parent = _worker("-c", textwrap.dedent(script))
    child = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 20
    while _alive(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _alive(child)
    parent.communicate()


def _alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_out_of_memory_is_an_answer(monkeypatch):
    def greedy(*_):
        raise MemoryError("Unable to allocate 1 PiB")

    monkeypatch.setattr(worker, "extract", greedy)
    output = io.BytesIO()
    worker.serve(io.BytesIO(_request(5, _GOOD)), output, _SPEC)
    (answer,) = _answers(io.BytesIO(output.getvalue()))
    assert answer[0] == {
        "id": 5,
        "ok": False,
        "reason": "OOM",
        "message": "out of memory: Unable to allocate 1 PiB",
    }


@pytest.mark.parametrize("kept", [2, 20, 100])
def test_an_input_that_ends_inside_a_message_is_an_error(kept):
    with pytest.raises(EOFError, match="of a message"):
        worker.serve(io.BytesIO(_request(1, _GOOD)[:kept]), io.BytesIO(), _SPEC)


@pytest.mark.parametrize(
    ("features", "loaded"),
    [
        (["mfcc", "mfcc_delta", "mfcc_delta2", "chroma", "onset_strength", "mel"], b"False"),
        (["rms"], b"True"),
    ],
)
def test_librosa_is_loaded_where_a_block_needs_it(features, loaded):
    # It compiles for 15 s wherever numba's cache is empty, and each worker of a pool starts with an empty one.
    script = """
        import json, sys
        from features import worker
        sys.argv[1:] = ["--spec", sys.argv[1]]
        worker.main()
        print("librosa:", "librosa.core" in sys.modules)
    """
    process = _worker("-c", textwrap.dedent(script), json.dumps({"features": features}))
    output, errors = process.communicate(_request(1, _GOOD), timeout=120)
    assert _answers(io.BytesIO(output))[1][0]["ok"]
    assert errors.split()[-2:] == [b"librosa:", loaded]


def test_who_plans_does_not_load_what_computes():
    script = """
        import sys
        from features.spec import FeatureSpec, columns, fingerprint
        spec = FeatureSpec(features=("mfcc", "chroma", "tonnetz"))
        print(fingerprint(spec), len(columns(spec)), {"librosa", "numba", "scipy"} & set(sys.modules))
    """
    output, _ = _worker("-c", textwrap.dedent(script)).communicate(timeout=60)
    assert output.split()[1:] == [b"31", b"set()"]
