"""What a kind of vector is."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from hdpgmm.represent import Vectors


@dataclass(frozen=True)
class Kind:
    """A column of the vectors' table, one list of float32 a song.

    compute: from what the engine says of the songs of a batch, (song, n). meaning: for people, in the tree's spec.json.
    row: its name in tables of scores, "" where it is not compared.
    """

    column: str
    meaning: str
    compute: Callable[[Vectors], Tensor]
    row: str = ""
