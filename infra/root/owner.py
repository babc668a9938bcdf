"""Which process holds something, told so exactly that another can know for certain that it is gone.

A process id says nothing on another machine, in another container, after a restart, or once a new process has it. So a
process is named by its machine's host name and boot, its namespaces of process ids and of time, its id there and the
time it started. Only where all but the last two are one's own can one look; anywhere else nothing is certain.
"""

import os
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

PLACE = ("host", "boot", "namespace")


class Process(NamedTuple):
    """What /proc says of a process: ticks from the boot to its start, and whether only its exit code is left of it."""

    started: int
    is_dead: bool


def this_process() -> dict[str, Any]:
    """Who I am. What this system does not tell is empty or None."""
    seen = look(os.getpid())
    return {
        "host": socket.gethostname(),
        "boot": _boot(),
        "namespace": _namespace(),
        "pid": os.getpid(),
        "started": seen.started if seen else None,
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def is_gone(owner: Mapping[str, Any]) -> bool:
    """Whether that process certainly lives no more. False where it lives, and where nobody here can know."""
    here = this_process()
    if any(not here[name] or owner.get(name) != here[name] for name in PLACE):
        return False
    pid, started = owner.get("pid"), owner.get("started")
    if not isinstance(pid, int) or pid <= 0 or not isinstance(started, int):
        return False
    try:
        os.kill(pid, 0)  # asks only; /proc may hide the processes of others
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    seen = look(pid)
    return seen is not None and (seen.is_dead or seen.started != started)


def described(owner: Mapping[str, Any]) -> str:
    """For people."""
    return f"process {owner.get('pid')} on {owner.get('host')}, since {owner.get('since')}"


def look(pid: int) -> Process | None:
    """None where there is no such process, or it cannot be seen."""
    try:
        # The command's name is in brackets and may hold anything, brackets too.
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    state, threads, started = fields[0], int(fields[17]), int(fields[19])
    return Process(started, state in "ZX" and threads <= 1)


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _namespace() -> str:
    """Of process ids, and of time, by which /proc counts; "" where /proc is that of another namespace."""
    try:
        if os.readlink("/proc/self") != str(os.getpid()):
            return ""
        names = [os.readlink("/proc/self/ns/pid")]
        if os.path.lexists("/proc/self/ns/time"):
            names.append(os.readlink("/proc/self/ns/time"))
    except OSError:
        return ""
    return " ".join(names)
