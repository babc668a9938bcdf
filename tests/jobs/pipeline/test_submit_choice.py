"""`jobs.submit` against a client that is none: what it takes up, what it submits, and the exit code."""

import asyncio
import os
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import ServerDisconnectedError
from ray.job_submission import JobStatus

from infra.errors import ConfigError, Incomplete
from jobs.pipeline import submit

DONE = {"message": "done"}


class Cluster:
    """Jobs by name, with what they were, are and will be: every question moves one of them a state further."""

    def __init__(self, **known: JobStatus) -> None:
        self.known, self.submitted = dict(known), []
        self.coming: list[Any] = [SimpleNamespace(status=JobStatus.SUCCEEDED, driver_exit_code=0, **DONE)]

    def list_jobs(self) -> list[Any]:
        return [SimpleNamespace(submission_id=name, status=status) for name, status in self.known.items()]

    def submit_job(self, entrypoint: str, submission_id: str) -> None:
        self.submitted.append((submission_id, entrypoint))

    async def tail_job_logs(self, job: str) -> AsyncIterator[str]:
        yield f"log of {job}\n"
        raise RuntimeError("the connection\nis lost")

    def get_job_info(self, job: str) -> Any:
        found = self.coming.pop(0)
        if isinstance(found, Exception):
            raise found
        return found


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(submit, "LOOK_SECONDS", 0.0)
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:  # or they would print into the next test
        thread.join(10)


def test_a_first_attempt_is_submitted_word_for_word(capsys: pytest.CaptureFixture[str]) -> None:
    cluster = Cluster(other=JobStatus.RUNNING)
    assert submit.run(cluster, "night", ["python", "-m", "jobs.index", "--music", "a b;c"]) == 0
    assert cluster.submitted == [("night", "python -m jobs.index --music 'a b;c'")]
    printed = capsys.readouterr().out
    assert "log of night\n" in printed
    assert "lost the log of night (the connection is lost)" in printed


@pytest.mark.parametrize("status", [JobStatus.PENDING, JobStatus.RUNNING])
def test_a_job_under_way_is_taken_up(status: JobStatus) -> None:
    cluster = Cluster(night=JobStatus.FAILED, **{"night-2": status})
    assert submit.choose(cluster, "night") == ("night-2", False)
    assert submit.run(cluster, "night", ["true"]) == 0
    assert cluster.submitted == []


@pytest.mark.parametrize("status", [JobStatus.FAILED, JobStatus.STOPPED, JobStatus.SUCCEEDED])
def test_after_an_end_comes_another_attempt(status: JobStatus) -> None:
    assert submit.choose(Cluster(night=status), "night") == ("night-2", True)


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (JobStatus.FAILED, 3, 3),
        (JobStatus.FAILED, -9, 137),
        (JobStatus.FAILED, None, 1),
        (JobStatus.STOPPED, 0, 130),
        (JobStatus.SUCCEEDED, None, 0),
    ],
)
def test_the_exit_code_is_the_jobs_own(status: JobStatus, code: int | None, expected: int) -> None:
    cluster = Cluster()
    running = SimpleNamespace(status=JobStatus.RUNNING)
    ended = SimpleNamespace(status=status, driver_exit_code=code, **DONE)
    cluster.coming = [running, OSError("no answer"), running, ended]
    assert submit.run(cluster, "night", ["true"]) == expected


def test_a_job_that_went_with_its_cluster_may_be_submitted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster()
    cluster.coming = [RuntimeError("Request failed with status code 404: Job night does not exist")]
    with pytest.raises(Incomplete, match=r"night: .*404"):
        submit.run(cluster, "night", ["true"])
    monkeypatch.setattr(submit, "SILENCE_SECONDS", 0.0)
    cluster.coming = [OSError("connection refused")] * 2
    with pytest.raises(Incomplete, match="refused"):
        submit.run(cluster, "night", ["true"])


def test_a_head_that_is_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its node is gone and nobody says so: neither the log nor a question ends by itself."""
    monkeypatch.setattr(submit, "ANSWER_SECONDS", 0.05)
    monkeypatch.setattr(submit, "SILENCE_SECONDS", 0.2)
    cluster, gone = Cluster(), threading.Event()

    async def silent(job: str) -> AsyncIterator[str]:
        if not gone.wait(30):
            yield job

    monkeypatch.setattr(cluster, "tail_job_logs", silent)
    monkeypatch.setattr(cluster, "get_job_info", lambda _: gone.wait(30))
    with pytest.raises(Incomplete, match="night: no answer within"):
        submit.run(cluster, "night", ["true"])
    monkeypatch.setattr(cluster, "list_jobs", lambda: gone.wait(30))
    with pytest.raises(Incomplete, match="night: no answer within"):
        submit.run(cluster, "night", ["true"])
    gone.set()


def test_a_head_that_starts_anew_while_it_is_asked_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster()
    errors: list[Exception] = [ConnectionError("refused"), RuntimeError("status code 503: starting")]

    def once(name: str) -> None:
        working = getattr(cluster, name)

        def call(**options: Any) -> Any:
            if errors:
                raise errors.pop()
            return working(**options)

        monkeypatch.setattr(cluster, name, call)

    for name in ("list_jobs", "submit_job"):
        errors[:] = [ConnectionError("refused"), RuntimeError("status code 503: starting")]
        once(name)
        assert submit._begin(cluster, "night", ["true"]) == ("night", True)
    assert cluster.submitted == [("night", "true")] * 2
    monkeypatch.setattr(submit, "SILENCE_SECONDS", -1.0)
    errors[:] = [ConnectionError("refused")]
    with pytest.raises(Incomplete, match="job night: refused"):
        submit.run(cluster, "night", ["true"])


def test_an_error_of_the_log_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """aiohttp's own are neither OSErrors nor RuntimeErrors."""
    cluster = Cluster()

    async def lost(job: str) -> AsyncIterator[str]:
        yield f"log of {job}\n"
        raise ServerDisconnectedError

    monkeypatch.setattr(cluster, "tail_job_logs", lost)
    assert submit.run(cluster, "night", ["true"]) == 0
    printed = capsys.readouterr()
    assert "lost the log of night (Server disconnected)" in printed.out
    assert "Traceback" not in printed.err


def test_who_waits_for_a_silent_head_ends_when_told() -> None:
    """At once: no thread that waits for an answer keeps the process."""
    with socket.create_server(("127.0.0.1", 0)) as head:
        head.settimeout(60)
        address = f"http://127.0.0.1:{head.getsockname()[1]}"
        command = (sys.executable, "-m", "jobs.submit", "--name", "night", "--address", address, "--", "true")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        follows = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        try:
            asked, _ = head.accept()
            with asked:
                follows.terminate()
                assert follows.wait(20) == 143
        finally:
            follows.kill()
        assert "the job goes on" in follows.communicate()[0]


def test_a_job_that_another_pod_has_just_submitted_is_taken_up() -> None:
    cluster = Cluster()

    def submit_job(entrypoint: str, submission_id: str) -> None:
        cluster.known[submission_id] = JobStatus.RUNNING
        raise RuntimeError("Request failed with status code 500: Job night already exists")

    cluster.submit_job = submit_job
    assert submit.run(cluster, "night", ["true"]) == 0


def test_the_last_lines_of_the_log_are_waited_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster = Cluster()

    async def slow(job: str) -> AsyncIterator[str]:
        await asyncio.sleep(0.3)
        yield "the last line\n"

    monkeypatch.setattr(cluster, "tail_job_logs", slow)
    assert submit.run(cluster, "night", ["true"]) == 0
    assert "the last line\n" in capsys.readouterr().out


def test_a_head_that_is_starting_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Any] = [ConnectionError("refused"), ConnectionError("refused"), "client"]

    def client(address: str) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr("ray.job_submission.JobSubmissionClient", client)
    assert submit.connected("http://head:8265") == "client"
    monkeypatch.setattr(submit, "SILENCE_SECONDS", -1.0)
    answers[:] = [ConnectionError("refused")]
    with pytest.raises(Incomplete, match="head:8265: refused"):
        submit.connected("http://head:8265")
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS", raising=False)
    with pytest.raises(ConfigError, match="--address"):
        submit.connected(None)
