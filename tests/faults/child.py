"""The stand-in worker, which also fails at innocent tracks: at each once, so that a second try can clear it."""

import hashlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests import standin_worker
from tests.faults.tokens import Tokens

TRANSIENT = {"decoder crashed once": "crash", "decoder killed once": "killed", "decoder hung once": "hang"}
CHANCE = 0.1
_answer = standin_worker.answer


def answer(text: str) -> tuple[dict, bytes]:
    tokens, name = Tokens(), hashlib.sha256(text.encode()).hexdigest()
    if text.startswith("ok ") and not (tokens.folder / "once" / name).exists():
        for kind, verb in TRANSIENT.items():
            if tokens.claim(kind, CHANCE) and tokens.once(name):
                return _answer(verb)
    return _answer(text)


if __name__ == "__main__":
    standin_worker.answer = answer
    standin_worker.main()
