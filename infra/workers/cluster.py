"""Reaching Ray: the cluster a job was submitted to, or a small Ray of our own for the time of the job."""

import logging
import os
import signal
import subprocess
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import ray
from ray._private import ray_constants
from ray._private import worker as ray_worker
from ray._private.node import Node
from ray._private.state import state
from ray.exceptions import AuthenticationError, RayError, RayTaskError

from infra.config import RayConfig
from infra.errors import ConfigError, Incomplete, JobError, StorageError
from infra.progress import waiting

# Ray gives its processes fixed times to start: 15 s each agent, 30 s the node. Only that of the server can be set.
SERVER_SECONDS = ("RAY_gcs_server_port_wait_time_s", "120")
START_ATTEMPTS, FIRST_PAUSE_SECONDS = 3, 5.0
log = logging.getLogger(__name__)
_kept: list[ExitStack] = []


@contextmanager
def connect(config: RayConfig) -> Iterator[None]:
    """A working Ray inside the block. What it started ends with it or with `shared_ray`; inside another, a no-op.

    Raises ConfigError for an address that is no cluster's, Incomplete if Ray cannot be reached, does not start, or
    fails inside the block, StorageError if it has no room or no permission for its files.
    """
    with ExitStack() as own:
        if not ray.is_initialized():
            _open(config, _kept[-1] if _kept else own)
        try:
            yield
        except RayTaskError:
            raise  # what a task or an actor raised: a bug in it
        except RayError as error:
            raise Incomplete(f"Ray: {_line(error)}; run the same command again") from error


@contextmanager
def shared_ray() -> Iterator[None]:
    """Inside the block, what the first `connect` starts stays for the others and ends with the block."""
    with ExitStack() as stack:
        _kept.append(stack)
        try:
            yield
        finally:
            _kept.pop()


def n_cpus() -> int:
    """CPUs of the connected cluster."""
    return max(1, int(ray.cluster_resources().get("CPU", 1)))


def leaving_nodes() -> set[str]:
    """Ids of the nodes that the cluster will soon lose: of those that an autoscaler gives up or a cloud takes back.

    Ray marks them when it is told to (`ray drain-node`, the autoscaler) and when `ray start --block` hears SIGTERM.
    """
    return set(state.get_draining_nodes())


def n_gpus() -> int:
    """GPUs of the connected cluster."""
    return int(ray.cluster_resources().get("GPU", 0))


def patience_seconds(config: RayConfig) -> float:
    """How long to wait for what has been asked of the cluster: nodes that its autoscaler brings take minutes."""
    return config.wait_seconds if os.environ.get("RAY_ADDRESS") else 0.0


def wants_gpu(device: str, setting: str, may_come: bool = False) -> bool:
    """Whether `device` ("auto", "cpu", "cuda"; the value of `setting`) means GPUs on the connected cluster.

    may_come: whether an autoscaler may bring one that is not there yet. Raises ConfigError for cuda without any.
    """
    if device == "cuda" and not n_gpus() and not may_come:
        raise ConfigError(f"{setting}: cuda was asked for and the Ray cluster has no GPU; set auto or cpu")
    return device == "cuda" or (n_gpus() > 0 and device != "cpu")


def _open(config: RayConfig, stack: ExitStack) -> None:
    _quieten()
    try:
        with _own_sigterm():
            if os.environ.get("RAY_ADDRESS"):
                _join()
            else:
                _start(config)
                stack.push(_reaper())
        stack.callback(ray.shutdown)
    except Exception as error:
        told = _told(error)
        if told is None:
            raise
        raise told from error


def _told(error: Exception) -> JobError | None:
    """What kept Ray from starting or from being reached, in the words and with the code of ours; None for a bug."""
    if isinstance(error, (ValueError, AuthenticationError)):
        return ConfigError(f"Ray: {_line(error)}")
    if _too_slow(error):
        return Incomplete(f"Ray: {_line(error)}; run the same command again")
    return StorageError(f"Ray: {_line(error)}") if isinstance(error, OSError) else None


# What Ray raises where something of it did not answer in time, or not at all.
SLOW = (ConnectionError, TimeoutError, RuntimeError, RayError)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:500].rstrip(".")


@contextmanager
def _own_sigterm() -> Iterator[None]:
    """Ray takes SIGTERM for itself and ends the process; what was to happen before stays."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)


def _join() -> None:
    """Connect to the running cluster; `ray job submit` sets RAY_ADDRESS for its jobs."""
    address = os.environ["RAY_ADDRESS"]
    if address.startswith(("http://", "https://")):
        raise ConfigError(
            f"RAY_ADDRESS={address} is for `ray job submit`; submit the job, or unset it to run here"
        )
    ray.init(address="auto", log_to_driver=False, logging_level=logging.ERROR)


def _start(config: RayConfig) -> None:
    """A Ray of our own, tried again where it did not come up in time: the second start finds files in memory."""
    _stay_local()
    os.environ.setdefault(*SERVER_SECONDS)
    for attempt in range(1, START_ATTEMPTS + 1):
        try:
            with waiting("starting Ray"):
                _start_once(config)
            return
        except BaseException as error:
            _end_half_started(error)
            if not _too_slow(error):
                raise
            busy = f"the load is {os.getloadavg()[0]:.3g} on {os.cpu_count()} CPUs"
            if attempt == START_ATTEMPTS:
                raise Incomplete(
                    f"Ray did not start in {attempt} tries: {_line(error)}; {busy}: run the same command again when "
                    "the machine has less to do; Ray's own words are in /tmp/ray/session_latest/logs"
                ) from error
        log.warning(
            "Ray did not start in time, %s; trying again, %d of %d", busy, attempt + 1, START_ATTEMPTS
        )
        time.sleep(FIRST_PAUSE_SECONDS * attempt)


def _start_once(config: RayConfig) -> None:
    ray.init(
        address="local",
        include_dashboard=False,
        num_cpus=config.num_cpus,
        object_store_memory=config.object_store_bytes,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )


def _too_slow(error: BaseException) -> bool:
    """A plain Exception is Ray's own word for a node that "timed out during startup"."""
    return type(error) is Exception or (
        isinstance(error, SLOW) and not isinstance(error, AuthenticationError)
    )


def _end_half_started(error: BaseException) -> None:
    """End what a start that failed has left; `ray.shutdown` knows only of one that came to its end.

    The half-started node is in the error's traceback; agents outlive it by a minute, and name its session.
    """
    ray.shutdown()
    frames = [frame.f_locals.get("self") for frame, _ in traceback.walk_tb(error.__traceback__)]
    node = next((found for found in frames if isinstance(found, Node)), None)
    folder = getattr(node, "_session_dir", None)
    if node is None or folder is None:
        return  # it had started nothing
    node.kill_all_processes(check_alive=False, wait=True)
    for pid in _of_session(folder):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def _of_session(folder: str) -> list[int]:
    """Processes whose options name this Ray session's folder, which no other Ray has."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            arguments = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if any(part.startswith("--") and f"{folder}/" in f"{part}/" for part in arguments):
                found.append(int(process.name))
    return found


def _quieten() -> None:
    """Ray prints a paragraph for every worker that dies; those who handle it say so in one line."""
    ray_worker.print_to_stdstream = lambda data, **_: log.debug("%s", data["lines"])


def _stay_local() -> None:
    """Make Ray listen on 127.0.0.1 only; it also starts two seconds sooner.

    Ray's own switch for this (made for other systems) is read when it is imported, and by its processes.
    """
    ray_constants.ENABLE_RAY_CLUSTER = False
    os.environ[ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR] = "0"
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"


# Ends when its input does, that is with the driver, however that ended.
REAP = 'read _; for p; do case "$(cat /proc/$p/comm)" in ray::*) kill -9 "$p";; esac; done 2>/dev/null'


def _reaper() -> subprocess.Popen[bytes]:
    """Ends the agents of the local Ray when the driver is killed.

    Ray's other processes die with the driver at once, but its agents first try for a minute to tell it so.
    """
    raylets = [pid for pid in _children(os.getpid()) if _command(pid) == "raylet"]
    agents = [str(pid) for raylet in raylets for pid in _children(raylet)]
    return subprocess.Popen(["sh", "-c", REAP, "sh", *agents], stdin=subprocess.PIPE, start_new_session=True)


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()
