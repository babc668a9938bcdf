"""The supervised child: whoever crashes it is blamed, and nobody else."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from infra.errors import NotStarted
from infra.workers import isolate
from infra.workers.isolate import Extracted, Isolated, Refused
from tests.places import TESTS

STANDIN = [sys.executable, str(TESTS / "standin_worker.py")]


@pytest.fixture
def child() -> Iterator[Isolated]:
    with Isolated(STANDIN, os.environ, deadline_seconds=30) as child:
        yield child


def test_frames_come_back(child: Isolated):
    answer = child.extract("a", b"ok 3")
    assert isinstance(answer, Extracted)
    np.testing.assert_array_equal(answer.frames, np.full((3, 59), 3, np.float32))
    assert (answer.sample_rate, answer.channels, answer.decoder) == (22050, 1, "none")


def test_large_messages_pass_both_ways(child: Isolated):
    answer = child.extract("a", b"ok 50000".ljust(5_000_000))
    assert isinstance(answer, Extracted)
    assert answer.frames.shape == (50000, 59)


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


STILLBORN = """import ctypes, os, signal, sys, time
count = os.path.getsize(log) if os.path.exists(log := sys.argv[1]) else 0
with open(log, "a") as file: file.write("x")
if count < int(sys.argv[2]): exec(sys.argv[3])
os.execv(sys.executable, [sys.executable, sys.argv[4]])
"""
READY = 'os.write(1, b"\\0\\0\\0\\x02{}"); '
WAYS = {
    "killed": "os.kill(os.getpid(), signal.SIGKILL)",
    "crash": "ctypes.string_at(0)",
    "exit": 'sys.exit("no room")',
    "end": "sys.exit()",
    "babble": 'os.write(1, b"\\0\\0\\0\\x02}{"); time.sleep(100)',
    "hung": "time.sleep(100)",
    "killed once ready": READY + "os.kill(os.getpid(), signal.SIGKILL)",
    "killed while asked": READY + "time.sleep(0.3); os.kill(os.getpid(), signal.SIGKILL)",
    "stopped once ready": READY + "os.kill(os.getpid(), signal.SIGSTOP)",
}


def stillborn(folder: Path, deaths: int, way: str) -> list[str]:
    """A command that dies so many times before it is asked, and then is the stand-in."""
    return [sys.executable, "-c", STILLBORN, str(folder / "starts"), str(deaths), WAYS[way], STANDIN[1]]


def starts(folder: Path) -> int:
    return (folder / "starts").stat().st_size


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolate, "FIRST_PAUSE_SECONDS", 0.01)


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize("way", [way for way in WAYS if way != "hung"])
def test_children_that_die_before_they_are_asked_are_followed_by_others(tmp_path: Path, way: str):
    deaths, seconds = (1, 1.0) if way == "stopped once ready" else (isolate.START_ATTEMPTS - 1, 30.0)
    with Isolated(stillborn(tmp_path, deaths, way), os.environ, seconds) as child:
        answer = child.extract("a", b"ok 3".ljust(5_000_000))
    assert isinstance(answer, Extracted)
    assert (len(answer.frames), starts(tmp_path)) == (3, deaths + 1)


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize("way", ["killed", "killed once ready", "killed while asked"])
def test_such_deaths_are_no_attempt_of_a_track(tmp_path: Path, way: str):
    with Isolated(stillborn(tmp_path, 2, way), os.environ, 30) as child:
        assert child.extract("guilty", b"exit") == Refused("CRASH", "the worker ended with exit code 3", 2)
        assert starts(tmp_path) == 4


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize(
    ("way", "words"),
    [
        ("killed", "most likely out of memory"),
        ("crash", "the worker ended with SIGSEGV"),
        ("exit", r"the worker ended with exit code 1 \(no room\)"),
        ("end", "the worker ended with exit code 0"),
        ("babble", "the worker answered b'}{'"),
        ("killed once ready", "most likely out of memory"),
    ],
)
def test_a_child_that_never_starts_is_nobodys_fault(tmp_path: Path, way: str, words: str):
    with Isolated(stillborn(tmp_path, 99, way), os.environ, 30) as child:
        with pytest.raises(NotStarted, match=rf"does not start, tried 4 times on .*: .*{words}") as raised:
            child.extract("a", b"ok 1")
        assert str(raised.value).startswith(sys.executable)
        assert starts(tmp_path) == isolate.START_ATTEMPTS
        assert child._child is None


def test_a_child_that_hangs_while_it_starts_takes_all_of_the_time(tmp_path: Path):
    with Isolated(stillborn(tmp_path, 99, "hung"), os.environ, 30, start_seconds=0.5) as child:
        with pytest.raises(NotStarted, match=r"tried once on .*: no answer in time"):
            child.extract("a", b"ok 1")
        assert starts(tmp_path) == 1


@pytest.mark.usefixtures("_impatient")
def test_a_command_that_is_none_and_words_without_end():
    with Isolated(["/no/such"], os.environ, 30) as child, pytest.raises(NotStarted) as raised:
        child.extract("a", b"ok 1")
    assert "/no/such does not start, tried 4 times" in str(raised.value)
    assert "No such file or directory: '/no/such'" in str(raised.value)
    script = "import sys; sys.exit('a' * 10**7 + '\\n' + 'z' * 10**6)"
    with (
        Isolated([sys.executable, "-c", script], os.environ, 30) as child,
        pytest.raises(NotStarted) as raised,
    ):
        child.extract("a", b"ok 1")
    assert "zzz" in str(raised.value)
    assert len(str(raised.value)) < 1000


def test_a_child_that_dies_idle_is_no_tracks_fault(child: Isolated):
    assert isinstance(child.extract("before", b"ok 1"), Extracted)
    for kind in (signal.SIGKILL, signal.SIGSEGV):
        os.kill(child._child._process.pid, kind)  # pyright: ignore[reportOptionalMemberAccess]
        assert child.extract("guilty", b"exit") == Refused("CRASH", "the worker ended with exit code 3", 2)
        assert isinstance(child.extract("after", b"ok 2"), Extracted)


def test_half_an_answer_and_a_stop_are_tried_again(child: Isolated):
    assert child.extract("half", b"half ok 50000") == Refused("CRASH", "the worker ended with exit code 0", 2)
    child.deadline_seconds = 0.5
    answer = child.extract("stop", b"stop")
    assert isinstance(answer, Refused)
    assert (answer.reason, answer.attempts) == ("TIMEOUT", 2)
    assert isinstance(child.extract("after", b"ok 2"), Extracted)


def test_last_words_are_those_of_the_last_track():
    warning = (
        f"import os, sys; os.write(2, b'a warning of the start' * 99); os.execv(sys.executable, {STANDIN!r})"
    )
    with Isolated([sys.executable, "-c", warning], os.environ, 30) as child:
        answer = child.extract("guilty", b"crash")
    assert answer == Refused("CRASH", "the worker ended with SIGSEGV (the decoder's last words)", 2)


def test_closing_ends_the_child(child: Isolated):
    child.extract("a", b"ok 1")
    process = child._child._process  # pyright: ignore[reportOptionalMemberAccess]
    child.close()
    assert process.poll() is not None


def test_a_killed_supervisor_takes_the_child_along(tmp_path: Path):
    script = (
        "import os, sys; from infra.workers.isolate import Isolated\n"
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
