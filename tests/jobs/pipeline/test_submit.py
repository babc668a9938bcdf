"""`ray job submit` to a head that asks for a token, as in the README but for the ports and the jobs."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra.config import load
from jobs.upkeep import audit
from tests.places import REPOSITORY

pytestmark = [pytest.mark.ray, pytest.mark.slow]

UPLOADED = ("hdpgmm", "features", "evaluation", "infra", "jobs", "pyproject.toml", ".gitignore")
IGNORED = (".venv", "demo", "out")


@dataclass(frozen=True)
class Head:
    """A running head: where jobs are submitted, what a shell that uses it has exported, its files, the checkout."""

    address: str
    environment: dict[str, str]
    session: Path
    checkout: Path

    def ray(self, *arguments: str, **exported: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["ray", *arguments],
            cwd=self.checkout,
            env={**self.environment, **exported},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    # Sockets lie below it, and the path of a socket has 107 bytes at most.
    with tempfile.TemporaryDirectory(prefix="ray-") as folder:
        environment = shell(tmp_path_factory.mktemp("home"))
        started = Head(
            f"http://127.0.0.1:{free_port()}", environment, Path(folder), checkout(tmp_path_factory)
        )
        assert started.ray("get-auth-token", "--generate").returncode == 0
        process = start(started)
        try:
            await_head(started, process)
            yield started
        finally:
            process.terminate()
            process.wait(60)


def shell(home: Path) -> dict[str, str]:
    """The exports of the README, in a home folder of its own and with the environment's programs first."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    programs = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    exported = {"RAY_AUTH_MODE": "token", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
    return {**kept, **exported, "HOME": str(home), "PATH": programs}


def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository's code, with what must stay behind: an environment, a demo, results."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in UPLOADED:
        copy = shutil.copytree if (REPOSITORY / name).is_dir() else shutil.copy
        copy(REPOSITORY / name, folder / name)
    for name in IGNORED:
        (folder / name).mkdir()
        (folder / name / "large").write_bytes(os.urandom(1 << 20))
    return folder


def start(head: Head) -> subprocess.Popen[bytes]:
    """`ray start --head` in the foreground, so that ending it ends all of it."""
    port = head.address.rpartition(":")[2]
    more = ("--port=0", "--dashboard-agent-listen-port=0", f"--temp-dir={head.session}", "--num-cpus=2")
    with (head.session / "log").open("wb") as log:
        return subprocess.Popen(
            ["ray", "start", "--head", "--block", f"--dashboard-port={port}", "--disable-usage-stats", *more,
             "--object-store-memory=268435456"],
            env=head.environment, stdout=log, stderr=log,
        )  # fmt: skip


def await_head(head: Head, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 90
    while head.ray("job", "list", "--address", head.address).returncode:
        assert process.poll() is None, (head.session / "log").read_text()
        assert time.monotonic() < deadline, (head.session / "log").read_text()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def test_submitted_jobs_run_to_the_end(head: Head, tone_corpus: Path, tmp_path: Path) -> None:
    """Two of the pipeline's; all of it is submitted by test_cluster.py."""
    root = tmp_path / "root"
    for job, *places in (("index", "--music", str(tone_corpus)), ("extract",)):
        entry = ("python", "-m", f"jobs.{job}", "--root", str(root), *places)
        ended = head.ray("job", "submit", "--address", head.address, "--working-dir", ".", "--", *entry)
        assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "extract: 20 songs" in ended.stdout
    result = audit.run(load(root=str(root)))
    assert (result.problems, result.coverage[0].songs) == ((), 20)
    (package,) = head.session.glob("session_2*/runtime_resources/working_dir_files/_ray_pkg_*/")
    uploaded = {path.name for path in package.iterdir()} - {"__pycache__"}
    assert {"jobs", "features"} < uploaded
    assert not uploaded & {*IGNORED, ".git"}


def test_a_failed_job_fails_the_command(head: Head, tmp_path: Path) -> None:
    """With the job's one line, although Ray makes every exit code a 1."""
    entry = ("python", "-m", "jobs.index", "--root", str(tmp_path / "root"), "--music", "/no/music")
    ended = head.ray("job", "submit", "--address", head.address, "--working-dir", ".", "--", *entry)
    assert ended.returncode == 1
    assert "\nerror: /no/music: no such folder\n" in ended.stdout
    assert "exit code 2" in ended.stdout + ended.stderr


def test_a_wrong_token_and_none_are_refused(head: Head) -> None:
    ended = head.ray("job", "submit", "--address", head.address, "--", "true", RAY_AUTH_TOKEN="wrong")
    assert ended.returncode == 1
    assert "Invalid authentication token" in ended.stderr
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{head.address}/api/jobs/")
    assert refused.value.code == 401


def follow(head: Head, name: str, *entry: str, **exported: str) -> subprocess.Popen[str]:
    """`python -m jobs.submit`, as the nightly pod runs it."""
    command = (sys.executable, "-m", "jobs.submit", "--name", name, "--address", head.address, "--", *entry)
    environment = {**head.environment, "PYTHONPATH": str(REPOSITORY), **exported}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=pipe, stderr=pipe, text=True)


def test_a_followed_job_gives_its_own_exit_code(head: Head) -> None:
    first = follow(head, "night", "sh", "-c", "echo so far; exit 3")
    printed, errors = first.communicate()
    assert first.returncode == 3, printed + errors
    assert "so far\n" in printed
    again = follow(head, "night", "true")
    printed, errors = again.communicate()
    assert again.returncode == 0, printed + errors
    assert "submit: submitted night-2: true" in printed
    refused = follow(head, "night", "true", RAY_AUTH_TOKEN="wrong")
    printed, errors = refused.communicate()
    assert refused.returncode == 2, printed + errors
    assert len(errors.splitlines()) == 1
    assert "token" in errors


def test_whoever_follows_may_go_and_another_takes_the_job_up(head: Head, tmp_path: Path) -> None:
    stop = tmp_path / "stop"
    entry = ("sh", "-c", f"echo begun; while ! test -e {stop}; do sleep 0.2; done; exit 4")
    first = follow(head, "long", *entry)
    assert first.stdout is not None
    assert "begun\n" in iter(first.stdout.readline, "")
    first.terminate()
    assert first.wait(30) == 143
    second = follow(head, "long", *entry)
    assert second.stdout is not None
    assert second.stdout.readline().startswith("submit: following long: ")
    stop.touch()
    printed, errors = second.communicate()
    assert second.returncode == 4, printed + errors
