"""The stand-in worker, which also fails at innocent tracks, each once: a second try can clear it. It fails before, too.

Before its first track it may be killed, crash, end with words or hang while it starts, or be killed or stopped when it
has said that it is ready.
"""

import ctypes
import hashlib
import os
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests import standin_worker
from tests.faults.tokens import Tokens

TRANSIENT = {"decoder crashed once": "crash", "decoder killed once": "killed", "decoder hung once": "hang"}
CHANCE = 0.1
START = "decoder dies while it starts"
START_CHANCE = 0.4  # now and then all that a worker tries in a row
READY = b"\0\0\0\x02{}"
_answer = standin_worker.answer


def answer(text: str) -> tuple[dict, bytes]:
    tokens, name = Tokens(), hashlib.sha256(text.encode()).hexdigest()
    if text.startswith("ok ") and not (tokens.folder / "once" / name).exists():
        for kind, verb in TRANSIENT.items():
            if tokens.claim(kind, CHANCE) and tokens.once(name):
                return _answer(verb)
    return _answer(text)


def die_before_the_first_track(tokens: Tokens) -> None:
    """One of six ways, if there are such faults left."""
    if not tokens.claim(START, START_CHANCE):
        return
    way = int.from_bytes(os.urandom(1)) % 6
    if way == 0:
        ctypes.string_at(0)
    if way == 1:
        sys.exit("an import that fails")
    if way == 2:
        time.sleep(1000)
    if way > 3:
        os.write(1, READY)
    os.kill(os.getpid(), signal.SIGSTOP if way == 5 else signal.SIGKILL)


if __name__ == "__main__":
    die_before_the_first_track(Tokens())
    standin_worker.answer = answer
    standin_worker.main()
