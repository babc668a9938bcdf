"""Faults as files: whoever removes one has to commit it, so each happens once, in whatever process."""

import os
import random
import secrets
from collections import Counter
from pathlib import Path

ENVIRONMENT = "FAULTS"


class Tokens:
    """The faults that are left, below a folder; every process may claim some."""

    def __init__(self, folder: Path | str | None = None) -> None:
        self.folder = Path(folder or os.environ[ENVIRONMENT])
        self._random = random.Random(secrets.randbits(64))

    def add(self, kind: str, count: int) -> None:
        (self.folder / kind).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            (self.folder / kind / str(number)).touch()

    def claim(self, kind: str, chance: float) -> bool:
        """True with this chance while there are faults of the kind left, for one of them."""
        if self._random.random() >= chance:
            return False
        try:
            names = os.listdir(self.folder / kind)
        except FileNotFoundError:
            return False
        for name in names:
            try:
                (self.folder / kind / name).unlink()
            except FileNotFoundError:
                continue
            return True
        return False

    def once(self, name: str) -> bool:
        """True for the first who asks with this name."""
        (self.folder / "once").mkdir(parents=True, exist_ok=True)
        try:
            (self.folder / "once" / name).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def left(self) -> Counter[str]:
        kinds = [kind for kind in self.folder.iterdir() if kind.name != "once"]
        return Counter({kind.name: len(list(kind.iterdir())) for kind in kinds})
