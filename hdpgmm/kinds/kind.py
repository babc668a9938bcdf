"""What a kind of vector is: a function of songs and of the model that they are seen with."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from torch import Tensor

from hdpgmm.local_step.posterior import LocalOptions
from hdpgmm.model.expectations import Globals
from hdpgmm.model.state import State
from hdpgmm.ragged import Ragged
from hdpgmm.represent import Vectors, represent


@dataclass(frozen=True)
class Batch:
    """Songs to be seen with a model: whitened frames on its device. `model` is `state`, prepared."""

    model: Globals
    state: State
    songs: Ragged[Tensor]
    options: LocalOptions

    @cached_property
    def vectors(self) -> Vectors:
        """The songs' shares of the components and their log-likelihoods, on the CPU; computed once."""
        found = represent(self.model, self.songs, self.options)
        return Vectors(*(part.cpu() for part in found.tensors()))


@dataclass(frozen=True)
class Kind:
    """A vector for each song.

    name: of `HDPGMM.transform`, and of the column of tables that hold it. meaning: for people. compute: (song, n)
    float32 of a batch, in its order: `blocks` blocks one behind the other, in each the numbers of the first component,
    of the second and so on, as many each. row: its name in tables of scores, "" where it is not compared. stored:
    whether tables of a corpus' vectors have it; precision: of the numbers there.
    """

    name: str
    meaning: str
    compute: Callable[[Batch], Tensor]
    row: str = ""
    stored: bool = True
    precision: Literal["float32", "float16"] = "float32"
    blocks: int = 1
