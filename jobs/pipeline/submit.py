"""`python -m jobs.submit`: submit a job to a Ray cluster, follow it, and end with the job's own exit code.

For schedulers: `ray job submit` ends with 1 whatever a failed job said, and with 0 when somebody stopped it. Called
again with the name of a job that still runs, as by a pod that takes the place of one that was evicted, it follows that
job; where that has ended, it submits another attempt, which continues.
"""

import asyncio
import itertools
import os
import shlex
import threading
import time
from collections.abc import Callable
from functools import partial
from queue import Empty, SimpleQueue
from typing import Annotated, Any, TypeVar

import typer

from infra import cli
from infra.errors import ConfigError, Incomplete

LOOK_SECONDS = 5.0
ANSWER_SECONDS = 60.0  # for one question to the head
SILENCE_SECONDS = 300.0  # without an answer from the head, after which it is given up
LAST_LINES_SECONDS = 10.0  # for the rest of the log once the job has ended
T = TypeVar("T")
DETACHED = 143  # this process was told to end, the job was not


def run(client: Any, name: str, entrypoint: list[str]) -> int:
    """Submit the job or take up the one of this name, print its log until it ends; its exit code."""
    job, new = _begin(client, name, entrypoint)
    print(f"submit: {'submitted' if new else 'following'} {job}: {shlex.join(entrypoint)}", flush=True)
    told = threading.Thread(target=_print_log, args=(client, job), daemon=True)
    told.start()
    found = _ended(client, job)
    told.join(LAST_LINES_SECONDS)
    print(f"submit: {job} {found.status.value}: {(found.message or '').partition(chr(10))[0]}", flush=True)
    return exit_code(found)


def _begin(client: Any, name: str, entrypoint: list[str]) -> tuple[str, bool]:
    """The job to follow, and whether it was submitted now. The head may be starting anew just then."""
    deadline = time.monotonic() + SILENCE_SECONDS
    while True:
        try:
            job, new = choose(client, name)
            if new:
                entry = shlex.join(entrypoint)
                _answered(partial(client.submit_job, entrypoint=entry, submission_id=job))
            return job, new
        except (RuntimeError, OSError) as error:
            # Where another pod has just submitted it, it is there at the next look.
            if time.monotonic() > deadline:
                raise Incomplete(f"job {name}: {' '.join(str(error).split())}") from error
        time.sleep(LOOK_SECONDS)


def _answered(call: Callable[[], T]) -> T:
    """The result of a question to the head, which Ray's client would wait for without an end.

    Raises TimeoutError, an OSError, after ANSWER_SECONDS: as when the head's node is gone and nobody says so.
    """
    answers: SimpleQueue[tuple[T | None, Exception | None]] = SimpleQueue()

    def ask() -> None:
        try:
            answers.put((call(), None))
        except Exception as error:  # noqa: BLE001 - handed on to who asked
            answers.put((None, error))

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer, error = answers.get(timeout=ANSWER_SECONDS)
    except Empty:
        raise TimeoutError(f"no answer within {ANSWER_SECONDS:g} s") from None
    if error is not None:
        raise error
    return answer  # pyright: ignore[reportReturnType]


def choose(client: Any, name: str) -> tuple[str, bool]:
    """The submission of this name that is under way, or the first free one of name, name-2, name-3 and so on."""
    known = {job.submission_id: job.status for job in _answered(client.list_jobs)}
    for attempt in itertools.count(1):
        job = name if attempt == 1 else f"{name}-{attempt}"
        if job not in known or not known[job].is_terminal():
            return job, job not in known
    raise AssertionError


def exit_code(job: Any) -> int:
    """Of an ended job: its own, 130 if it was stopped, 1 if Ray could not even start it."""
    if job.status == "SUCCEEDED":
        return 0
    if job.status == "STOPPED":
        return cli.INTERRUPTED
    if not job.driver_exit_code:
        return 1
    return job.driver_exit_code if job.driver_exit_code > 0 else 128 - job.driver_exit_code


def _print_log(client: Any, job: str) -> None:
    async def follow() -> None:
        async for lines in client.tail_job_logs(job):
            print(lines, end="", flush=True)

    try:
        asyncio.run(follow())
    except Exception as error:  # noqa: BLE001 - aiohttp has many; how the job ended is in its record
        print(f"submit: lost the log of {job} ({' '.join(str(error).split())})", flush=True)


def _ended(client: Any, job: str) -> Any:
    """The job's record once it has ended. Raises Incomplete when the cluster no longer knows it or is silent."""
    heard = time.monotonic()
    while True:
        try:
            found = _answered(lambda: client.get_job_info(job))
        except (RuntimeError, OSError) as error:
            text = " ".join(str(error).split())
            if "does not exist" in text or time.monotonic() - heard > SILENCE_SECONDS:
                raise Incomplete(f"job {job}: {text}; submit it again, it continues") from error
        else:
            heard = time.monotonic()
            if found.status.is_terminal():
                return found
        time.sleep(LOOK_SECONDS)


def connected(address: str | None) -> Any:
    """A client of the cluster, whose head may just be starting anew.

    Raises ConfigError for no address or a wrong token, Incomplete if nobody answers.
    """
    from ray.exceptions import AuthenticationError
    from ray.job_submission import JobSubmissionClient

    address = address or os.environ.get("RAY_API_SERVER_ADDRESS")
    if not address:
        raise ConfigError("--address: none given, and RAY_API_SERVER_ADDRESS is not set")
    deadline = time.monotonic() + SILENCE_SECONDS
    while True:
        try:
            return _answered(lambda: JobSubmissionClient(address))
        except AuthenticationError as error:
            raise ConfigError(f"{address}: {str(error).splitlines()[0]}") from error
        except (RuntimeError, OSError) as error:
            if time.monotonic() > deadline:
                raise Incomplete(f"{address}: {str(error).splitlines()[0]}") from error
        time.sleep(LOOK_SECONDS)


def main(
    entrypoint: Annotated[list[str], typer.Argument(help="The command, after --.")],
    name: Annotated[
        str, typer.Option("--name", help="Names the submission; the same name takes it up again.")
    ],
    address: Annotated[
        str | None,
        typer.Option("--address", help="http://HEAD:8265. [default: $RAY_API_SERVER_ADDRESS]"),
    ] = None,
) -> None:
    """Submit a command to a Ray cluster, follow it, end with its exit code."""
    try:
        code = run(connected(address), name, entrypoint)
    except KeyboardInterrupt:
        print(f"submit: no longer following; the job goes on, `ray job stop {name}` stops it")
        code = DETACHED
    raise typer.Exit(code)
