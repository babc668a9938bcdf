"""A child process per worker for what may crash or hang: decoders of files that strangers made.

One request at a time, so the track in the child is the one that killed it; it is tried once more in a fresh
child, alone, before it is blamed, because the first child may have been damaged by a track before it.
A child that dies or is stopped before it took a byte of the request is no track's fault: another is started, after
pauses that grow. The protocol is that of `features.worker`.
"""

import fcntl
import json
import logging
import os
import platform
import select
import shlex
import signal
import struct
import subprocess
import tempfile
import termios
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from infra.errors import NotStarted

PIPE_BYTES = 1 << 20
CHUNK_BYTES = 1 << 20
ATTEMPTS = 2
START_SECONDS = 300.0  # that a child may take to start
# A child that does not live to its first request is followed by another after a pause, twice as long each time; after
# so many, or once START_SECONDS have gone by, whoever gave the work decides where it is tried next.
START_ATTEMPTS, FIRST_PAUSE_SECONDS = 4, 1.0
TAIL_BYTES, LINE_CHARACTERS = 2000, 150  # of the child's standard error, and of its last line, that are told
REASONS = ("CRASH", "TIMEOUT", "OOM")
_LENGTH = struct.Struct(">I")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Extracted:
    """What the child made of a track: `frames` (frame, dim).

    missing_seconds: what its file promises and lacks, less than a packet. fallback: why the first decoder did not read
    it, None where it did.
    """

    frames: np.ndarray
    duration_seconds: float
    sample_rate: int
    channels: int
    decoder: str
    missing_seconds: float = 0.0
    fallback: str | None = None


@dataclass(frozen=True)
class Refused:
    """Why a track gives no frames; `reason` is one of the quarantine reasons."""

    reason: str
    message: str
    attempts: int = 1


class ChildDied(Exception):
    """The child ended or has to be ended; `refusal` says what that means for the track it had, if it had one."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.refusal, self.had_track = Refused(reason, message), False


class Isolated:
    """Supervises one child; a context manager.

    deadline_seconds: what one track may take. A child that has answered `recycle_tracks`, or holds
    `recycle_bytes` of memory more after an answer than when it was ready, gives way to a fresh one: decoders leak.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        deadline_seconds: float,
        start_seconds: float = START_SECONDS,
        recycle_tracks: int = 5000,
        recycle_bytes: int = 1 << 30,
    ) -> None:
        self.command, self.environment = list(command), dict(environment)
        self.deadline_seconds, self.start_seconds = deadline_seconds, start_seconds
        self.recycle_tracks, self.recycle_bytes = recycle_tracks, recycle_bytes
        self._child: _Child | None = None

    def __enter__(self) -> "Isolated":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def extract(self, name: str, data: bytes) -> Extracted | Refused:
        """The frames of a track, or why there are none. Raises NotStarted if no child lives until it is asked."""
        stillborn, patience = 0, time.monotonic() + self.start_seconds
        attempt = 1
        while True:
            try:
                child = self._running()
                answer, payload = child.ask(name, data, self.deadline_seconds)
            except ChildDied as died:
                self.close()
                if died.had_track and attempt == ATTEMPTS:
                    return replace(died.refusal, attempts=attempt)
                if died.had_track:
                    attempt += 1
                else:
                    stillborn += 1
                    self._pause(stillborn, patience, died)
                continue
            self._recycle(child)
            if not answer["ok"]:
                return Refused(answer["reason"], answer["message"], attempt)
            return _extracted(answer, payload)

    def close(self) -> None:
        """End the child, if there is one."""
        if self._child:
            self._child.kill()
            self._child = None

    def _recycle(self, child: "_Child") -> None:
        if child.answered >= self.recycle_tracks or child.grown_bytes() > self.recycle_bytes:
            self.close()

    def _running(self) -> "_Child":
        if self._child is None:
            try:
                self._child = _Child(self.command, self.environment)
            except OSError as error:  # no such command, no memory to fork, no room for a temporary file
                raise ChildDied("CRASH", str(error)) from error
            self._child.wait_ready(self.start_seconds)
        return self._child

    def _pause(self, stillborn: int, patience: float, died: ChildDied) -> None:
        """Before the next start. Raises NotStarted when there have been enough."""
        if stillborn >= START_ATTEMPTS or time.monotonic() >= patience:
            command = " ".join(shlex.join(self.command).split())[:LINE_CHARACTERS]
            tries = "once" if stillborn == 1 else f"{stillborn} times"
            raise NotStarted(
                f"{command} does not start, tried {tries} on {platform.node()}: {died} "
                "(run it by hand to see all that it says)"
            ) from died
        seconds = FIRST_PAUSE_SECONDS * 2 ** (stillborn - 1)
        log.warning(
            "an extraction process died before its first track: %s; the next one in %g s", died, seconds
        )
        time.sleep(seconds)


class _Child:
    """The process and its two pipes, both non-blocking so that a deadline holds while it hangs."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.answered = 0
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment,
            bufsize=0,
            start_new_session=True,
        )
        assert self._process.stdin
        assert self._process.stdout
        self._requests, self._answers = self._process.stdin.fileno(), self._process.stdout.fileno()
        for pipe in (self._requests, self._answers):
            os.set_blocking(pipe, False)
            with suppress(
                OSError
            ):  # users have a limit for all their pipes together; small ones are only slower
                fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    def wait_ready(self, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds
        self._message()
        self._ready_bytes = self.resident_bytes()

    def ask(self, name: str, data: bytes, seconds: float) -> tuple[dict[str, Any], bytearray]:
        """Send a track, return the answer and its payload. Raises ChildDied, which says whether it had the track."""
        self._deadline, self._sent = time.monotonic() + seconds, 0
        self._forget_errors()
        request = json.dumps({"id": 0, "name": name, "bytes": len(data)}).encode()
        try:
            self._send(_LENGTH.pack(len(request)) + request)
            self._send(data)
            answer = self._message()
            shape = answer.get("shape", (0, 0))
            payload = self._receive(shape[0] * shape[1] * np.dtype(answer.get("dtype")).itemsize)
        except ChildDied as died:
            died.had_track = self._unread() < self._sent
            raise
        self.answered += 1
        return answer, payload

    def grown_bytes(self) -> int:
        """Memory it holds beside that of its start, as a network's weights; 0 where the system does not say."""
        return self.resident_bytes() - self._ready_bytes

    def resident_bytes(self) -> int:
        """Memory it holds now; 0 where the system does not say."""
        try:
            pages = Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]
        except OSError:
            return 0
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            stream.close()  # pyright: ignore[reportOptionalMemberAccess]

    def _message(self) -> dict[str, Any]:
        (length,) = _LENGTH.unpack(self._receive(_LENGTH.size))
        text = self._receive(length)
        try:
            return json.loads(text)
        except ValueError:
            raise ChildDied(
                "CRASH", f"the worker answered {bytes(text[:40])!r} {self._tail()}".strip()
            ) from None

    def _unread(self) -> int:
        """Bytes that are in the pipe still: sent, and never read by the child, even if it is dead."""
        (count,) = struct.unpack("i", fcntl.ioctl(self._requests, termios.FIONREAD, bytes(4)))
        return count

    def _send(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            self._wait(self._requests, select.POLLOUT)
            try:
                written = os.write(self._requests, rest[:CHUNK_BYTES])
            except BrokenPipeError:
                raise self._death() from None
            rest, self._sent = rest[written:], self._sent + written

    def _receive(self, n_bytes: int) -> bytearray:
        parts = bytearray()
        while len(parts) < n_bytes:
            self._wait(self._answers, select.POLLIN)
            part = os.read(self._answers, min(n_bytes - len(parts), CHUNK_BYTES))
            if not part:
                raise self._death()
            parts += part
        return parts

    def _wait(self, pipe: int, event: int) -> None:
        poll = select.poll()
        poll.register(pipe, event)
        left = self._deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            raise ChildDied("TIMEOUT", f"no answer in time {self._tail()}".strip())

    def _death(self) -> ChildDied:
        # The pipe closes a moment before the exit status is there.
        try:
            code = self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            return ChildDied("CRASH", f"the worker closed its output {self._tail()}".strip())
        if code == -signal.SIGKILL:
            message = "the worker was killed by the system, most likely out of memory"
            return ChildDied("OOM", f"{message} {self._tail()}".strip())
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return ChildDied("CRASH", f"the worker ended with {how} {self._tail()}".strip())

    def _forget_errors(self) -> None:
        """The child writes on from the start: the two share the file's position."""
        os.lseek(self._errors.fileno(), 0, os.SEEK_SET)
        os.ftruncate(self._errors.fileno(), 0)

    def _tail(self) -> str:
        """The last line that the child wrote to standard error."""
        size = os.fstat(self._errors.fileno()).st_size
        end = os.pread(self._errors.fileno(), TAIL_BYTES, max(0, size - TAIL_BYTES))
        lines = end.decode(errors="replace").strip().splitlines()
        return f"({lines[-1][:LINE_CHARACTERS]})" if lines else ""


def _extracted(answer: Mapping[str, Any], payload: bytearray) -> Extracted:
    frames = np.frombuffer(payload, answer["dtype"]).reshape(answer["shape"])
    _, *facts = fields(Extracted)
    return Extracted(frames, **{fact.name: answer[fact.name] for fact in facts})
