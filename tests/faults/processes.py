"""Processes of this machine, found from the one that started them."""

import time
from pathlib import Path


def descendants(pid: int) -> list[int]:
    """Children, their children, and so on."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").glob("*/children"))
        found = [int(child) for task in tasks for child in task.read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []
    return found + [pid for child in found for pid in descendants(child)]


def actors(pid: int, name: str) -> list[int]:
    """Ray's processes below `pid` that are actors of the class `name`; idle workers bear its name no more."""
    return [child for child in descendants(pid) if _command(child).startswith(f"ray::{name}".encode())]


def until_no_actors(pid: int, name: str, seconds: float = 60.0) -> None:
    """Actors that were told to end may be at their last commit."""
    deadline = time.monotonic() + seconds
    while actors(pid, name):
        assert time.monotonic() < deadline, f"{name} still runs"
        time.sleep(0.05)


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""
