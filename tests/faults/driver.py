"""`python -m tests.faults.driver CONFIG-JSON`: `jobs.extract` whose workers, disk and decoders fail as the tokens say.

Nothing of the extraction is replaced: a worker patches calls of the operating system below it before it begins.
"""

import errno
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from infra import cli
from infra.config import Config
from jobs.extract import job as extract
from jobs.extract.worker import Extractor
from tests.faults.tokens import Tokens

CHILD = [sys.executable, str(Path(__file__).with_name("child.py"))]
KILLED_AT = {  # call of the operating system, part of the path, kinds before and after it
    "replace": ("/data/", "killed before its data", "killed between data and commit"),
    "link": ("/commits/", "killed before its commit", "killed after its commit"),
}
CHANCE = 0.1
CHILD_SECONDS = 6.0  # that a child may take to start: one that hangs should not take minutes


class FaultyExtractor(Extractor):
    def __init__(self, *arguments: Any) -> None:
        tokens = Tokens()
        for call, (part, before, after) in KILLED_AT.items():
            setattr(os, call, _killing(tokens, getattr(os, call), part, before, after))
        os.fsync = _full(tokens, os.fsync)
        threading.Thread(target=_killed_at_any_time, args=(tokens,), daemon=True).start()
        super().__init__(*arguments)
        self.child.start_seconds = CHILD_SECONDS


def _killing(
    tokens: Tokens, call: Callable[..., None], part: str, before: str, after: str
) -> Callable[..., None]:
    def wrapped(source: Any, target: Any, **options: Any) -> None:
        matters = part in str(target)
        if matters and tokens.claim(before, CHANCE):
            _die()
        call(source, target, **options)
        if matters and tokens.claim(after, CHANCE):
            _die()

    return wrapped


def _full(tokens: Tokens, call: Callable[[int], None]) -> Callable[[int], None]:
    def wrapped(descriptor: int) -> None:
        if tokens.claim("disk full", CHANCE):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        call(descriptor)

    return wrapped


def _killed_at_any_time(tokens: Tokens) -> None:
    while True:
        time.sleep(0.2)
        if tokens.claim("worker killed", CHANCE):
            _die()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main(arguments: Sequence[str]) -> None:
    extract.Extractor = FaultyExtractor
    config = Config.model_validate_json(arguments[0])
    cli.run(lambda: extract.run(config, CHILD) and None, arguments=[])


if __name__ == "__main__":
    main(sys.argv[1:])
