"""A child process per worker for what may crash or hang: decoders of files that strangers made.

One request at a time, so the track in the child is the one that killed it; it is tried once more in a fresh
child, alone, before it is blamed, because the first child may have been damaged by a track before it.
The protocol is that of `features.worker`.
"""

import fcntl
import json
import os
import select
import signal
import struct
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from infra.errors import JobError

PIPE_BYTES = 1 << 20
CHUNK_BYTES = 1 << 20
ATTEMPTS = 2
START_SECONDS = 300.0  # that a child may take to start
REASONS = ("CRASH", "TIMEOUT", "OOM")
_LENGTH = struct.Struct(">I")


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
    """The child ended or was ended; `refusal` says what that means for the track it had."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.refusal = Refused(reason, message)


class Isolated:
    """Supervises one child; a context manager.

    deadline_seconds: what one track may take. A child that has answered `recycle_tracks`, or holds more than
    `recycle_bytes` of memory after an answer, gives way to a fresh one: decoders leak.
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
        """The frames of a track, or why there are none. Raises JobError if the child cannot even start."""
        refusal = Refused("CRASH", "never tried")
        for attempt in range(1, ATTEMPTS + 1):
            child = self._running()
            try:
                answer, payload = child.ask(name, data, self.deadline_seconds)
            except ChildDied as died:
                self.close()
                refusal = replace(died.refusal, attempts=attempt)
                continue
            self._recycle(child)
            if not answer["ok"]:
                return Refused(answer["reason"], answer["message"], attempt)
            return _extracted(answer, payload)
        return refusal

    def close(self) -> None:
        """End the child, if there is one."""
        if self._child:
            self._child.kill()
            self._child = None

    def _recycle(self, child: "_Child") -> None:
        if child.answered >= self.recycle_tracks or child.resident_bytes() > self.recycle_bytes:
            self.close()

    def _running(self) -> "_Child":
        if self._child is None:
            child = _Child(self.command, self.environment)
            try:
                child.wait_ready(self.start_seconds)
            except ChildDied as died:
                child.kill()
                command = " ".join(self.command)
                raise JobError(f"{command} does not start: {died.refusal.message}") from died
            self._child = child
        return self._child


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
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    def wait_ready(self, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds
        self._message()

    def ask(self, name: str, data: bytes, seconds: float) -> tuple[dict[str, Any], bytearray]:
        """Send a track, return the answer and its payload. Raises ChildDied."""
        self._deadline = time.monotonic() + seconds
        self._errors.truncate(0)
        request = json.dumps({"id": 0, "name": name, "bytes": len(data)}).encode()
        self._send(_LENGTH.pack(len(request)) + request)
        self._send(data)
        answer = self._message()
        shape = answer.get("shape", (0, 0))
        self.answered += 1
        return answer, self._receive(shape[0] * shape[1] * np.dtype(answer.get("dtype")).itemsize)

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
        return json.loads(self._receive(length))

    def _send(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            self._wait(self._requests, select.POLLOUT)
            try:
                rest = rest[os.write(self._requests, rest[:CHUNK_BYTES]) :]
            except BrokenPipeError:
                raise self._death() from None

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
            return ChildDied("OOM", "the worker was killed by the system, most likely out of memory")
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return ChildDied("CRASH", f"the worker ended with {how} {self._tail()}".strip())

    def _tail(self) -> str:
        """The last line that the child wrote to standard error."""
        self._errors.seek(0)
        lines = self._errors.read()[-2000:].decode(errors="replace").strip().splitlines()
        return f"({lines[-1][:150]})" if lines else ""


def _extracted(answer: Mapping[str, Any], payload: bytearray) -> Extracted:
    frames = np.frombuffer(payload, answer["dtype"]).reshape(answer["shape"])
    names = ("duration_seconds", "sample_rate", "channels", "decoder", "missing_seconds", "fallback")
    return Extracted(frames, **{name: answer[name] for name in names})
