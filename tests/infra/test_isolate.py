"""The supervised child: whoever crashes it is blamed, and nobody else."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from infra.errors import JobError
from infra.isolate import Extracted, Isolated, Refused

STANDIN = [sys.executable, str(Path(__file__).parents[1] / "standin_worker.py")]


@pytest.fixture
def child() -> Iterator[Isolated]:
    with Isolated(STANDIN, os.environ, deadline_seconds=30) as child:
        yield child


def test_frames_come_back(child: Isolated):
    answer = child.extract("a", b"ok 3")
    assert isinstance(answer, Extracted)
    np.testing.assert_array_equal(answer.frames, np.full((3, 52), 3, np.float32))
    assert (answer.sample_rate, answer.channels, answer.decoder) == (22050, 1, "none")


def test_large_messages_pass_both_ways(child: Isolated):
    answer = child.extract("a", b"ok 50000".ljust(5_000_000))
    assert isinstance(answer, Extracted)
    assert answer.frames.shape == (50000, 52)


def test_a_bad_track_is_not_tried_again(child: Isolated):
    assert child.extract("a", b"bad NOT_AUDIO") == Refused("NOT_AUDIO", "as asked", 1)


@pytest.mark.parametrize(
    ("content", "reason", "message"),
    [
        (b"crash", "CRASH", "the worker ended with SIGSEGV (the decoder's last words)"),
        (b"exit", "CRASH", "the worker ended with exit code 3"),
        (b"killed", "OOM", "the worker was killed by the system, most likely out of memory"),
    ],
)
def test_a_crash_is_tried_twice_and_leaves_the_neighbours_alone(
    child: Isolated, content: bytes, reason: str, message: str
):
    assert isinstance(child.extract("before", b"ok 1"), Extracted)
    assert child.extract("guilty", content) == Refused(reason, message, 2)
    assert isinstance(child.extract("after", b"ok 2"), Extracted)


def test_who_crashes_once_is_not_blamed(child: Isolated, tmp_path: Path):
    assert isinstance(child.extract("a", f"crash-once {tmp_path}/mark".encode()), Extracted)


@pytest.mark.parametrize("content", [b"hang", b"hang".ljust(5_000_000)])
def test_who_hangs_is_ended(content: bytes):
    with Isolated(STANDIN, os.environ, deadline_seconds=0.3) as child:
        answer = child.extract("a", content)
        assert isinstance(answer, Refused)
        assert (answer.reason, answer.attempts) == ("TIMEOUT", 2)


def test_a_child_that_does_not_start_is_nobodys_fault():
    with Isolated([sys.executable, "-c", "1/0"], os.environ, 30) as child, pytest.raises(JobError) as raised:
        child.extract("a", b"ok 1")
    assert "does not start: the worker ended with exit code 1 (ZeroDivisionError" in str(raised.value)


def test_closing_ends_the_child(child: Isolated):
    child.extract("a", b"ok 1")
    process = child._child._process  # pyright: ignore[reportOptionalMemberAccess]
    child.close()
    assert process.poll() is not None


def test_a_killed_supervisor_takes_the_child_along(tmp_path: Path):
    script = (
        "import os, sys; from infra.isolate import Isolated\n"
        f"child = Isolated({STANDIN!r}, os.environ, 30); child.extract('a', b'ok 1')\n"
        "print(child._child._process.pid, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists() and " Z " not in Path(f"/proc/{pid}/stat").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _processes(child: Isolated, content: bytes, times: int) -> int:
    answers = [child.extract(str(number), content) for number in range(times)]
    return len({len(answer.frames) for answer in answers if isinstance(answer, Extracted)})


def test_a_child_gives_way_after_so_many_tracks_or_so_much_memory():
    with Isolated(STANDIN, os.environ, 30, recycle_tracks=2) as child:
        assert _processes(child, b"grow 1", 4) == 2
    with Isolated(STANDIN, os.environ, 30, recycle_bytes=200_000_000) as child:
        assert _processes(child, b"grow 1", 3) == 1
        assert _processes(child, b"grow 90000000", 4) == 2
