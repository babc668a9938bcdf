"""Two hosts on one machine: network namespaces with a cable between them, each with a /tmp/ray of its own.

Needs root and iproute2.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

NETWORK = "10.213.0.{}"
GONE_SECONDS = 30.0
RAY = Path("/tmp/ray")
_OWN_RAY = (
    f'mount --bind "$0" {RAY} && exec "$@"'  # `ip netns exec` gives each command a table of mounts of its own
)


@dataclass(frozen=True)
class Host:
    """A network of its own, and files of Ray; all other files, processes and memory are the machine's."""

    name: str
    address: str
    ray: Path

    def popen(
        self, command: Sequence[str], folder: Path, environment: Mapping[str, str], log: Path
    ) -> subprocess.Popen[bytes]:
        """Start a command there; what it prints goes to `log`."""
        with log.open("ab") as output:
            return subprocess.Popen(
                ["ip", "netns", "exec", self.name, "sh", "-c", _OWN_RAY, str(self.ray), *command],
                cwd=folder, env={**environment}, stdout=output, stderr=output,
            )  # fmt: skip

    def pids(self) -> list[int]:
        """Processes there."""
        return [int(pid) for pid in _ip("netns", "pids", self.name).split()]

    def runs(self, actor: str) -> bool:
        """Whether one of Ray's actors of that class is there."""
        return any(_title(pid).startswith(f"ray::{actor}") for pid in self.pids())

    def lose(self) -> None:
        """SIGKILL to every process, until none is left."""
        deadline = time.monotonic() + GONE_SECONDS
        while pids := self.pids():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.name}: {pids} do not go")
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)

    def unplug(self) -> None:
        """Take the cable out: nobody is told, packets are lost."""
        _ip("-n", self.name, "link", "set", "cable", "down")

    def plug(self) -> None:
        """Put the cable in again."""
        _ip("-n", self.name, "link", "set", "cable", "up")


def missing() -> str | None:
    """Why there can be no hosts here, or None."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "network namespaces need iproute2's ip"
    return None


@contextmanager
def two_hosts() -> Iterator[tuple[Host, Host]]:
    """Two hosts that reach each other and nothing else; they and all that runs there end with the block."""
    RAY.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="hosts-"))
    hosts = [Host(f"hdpgmm-{os.getpid()}-{n}", NETWORK.format(n + 1), folder / str(n)) for n in range(2)]
    made = []
    try:
        for host in hosts:
            host.ray.mkdir()
            _ip("netns", "add", host.name)
            made.append(host)
            _ip("-n", host.name, "link", "set", "lo", "up")
        one, two = hosts
        _ip("-n", one.name, "link", "add", "cable", "type", "veth", "peer", "cable", "netns", two.name)
        for host in hosts:
            _ip("-n", host.name, "address", "add", f"{host.address}/24", "dev", "cable")
            host.plug()
        yield one, two
    finally:
        for host in made:
            host.lose()
            _ip("netns", "delete", host.name)
        shutil.rmtree(folder, ignore_errors=True)


def _ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def _title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
