"""`python -m jobs.submit`: submit a job to a Ray cluster, follow it, and end with the job's own exit code.

For schedulers: `ray job submit` ends with 1 whatever a failed job said, and with 0 when somebody stopped it. Called
again with the name of a job that still runs, as by a pod that takes the place of one that was evicted, it follows that
job; where that has ended, it submits another attempt, which continues.
"""

import asyncio
import itertools
import os
import shlex
import time
from typing import Annotated, Any

import typer

from infra import cli
from infra.errors import ConfigError, Incomplete

LOOK_SECONDS = 5.0
SILENCE_SECONDS = 300.0  # without an answer from the head, after which it is given up
LET_GO = 143  # this process was told to end, the job was not


def run(client: Any, name: str, entrypoint: list[str]) -> int:
    """Submit the job or take up the one of this name, print its log until it ends; its exit code."""
    job, new = choose(client, name)
    if new:
        client.submit_job(entrypoint=shlex.join(entrypoint), submission_id=job)
    print(f"submit: {'submitted' if new else 'following'} {job}: {shlex.join(entrypoint)}", flush=True)
    try:
        asyncio.run(_print_log(client, job))
    except (RuntimeError, OSError) as error:  # aiohttp's errors of a connection are OSErrors
        print(f"submit: lost the log of {job} ({' '.join(str(error).split())})", flush=True)
    return exit_code(_ended(client, job))


def choose(client: Any, name: str) -> tuple[str, bool]:
    """The submission of this name that is under way, or the first free one of name, name-2, name-3 and so on."""
    known = {job.submission_id: job.status for job in client.list_jobs()}
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
    if job.driver_exit_code is None:
        return 1
    return job.driver_exit_code if job.driver_exit_code > 0 else 128 - job.driver_exit_code


async def _print_log(client: Any, job: str) -> None:
    async for lines in client.tail_job_logs(job):
        print(lines, end="", flush=True)


def _ended(client: Any, job: str) -> Any:
    """The job's record once it has ended. Raises Incomplete when the cluster no longer knows it or is gone."""
    heard = time.monotonic()
    while True:
        try:
            found = client.get_job_info(job)
        except (RuntimeError, OSError) as error:
            text = " ".join(str(error).split())
            if "does not exist" in text or time.monotonic() - heard > SILENCE_SECONDS:
                raise Incomplete(f"job {job}: {text}; submit it again, it continues") from error
        else:
            heard = time.monotonic()
            if found.status.is_terminal():
                print(
                    f"submit: {job} {found.status.value}: {(found.message or '').partition(chr(10))[0]}",
                    flush=True,
                )
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
            return JobSubmissionClient(address)
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
        code = LET_GO
    raise typer.Exit(code)


if __name__ == "__main__":
    cli.run(main)
