"""The kinds of vectors that are kept of a corpus, those of `hdpgmm.kinds` that are stored."""

from collections.abc import Collection

import numpy as np

from hdpgmm.kinds import KINDS, RECOMMENDED
from hdpgmm.kinds.kind import Kind
from hdpgmm.kinds.responsibility import RESPONSIBILITY
from hdpgmm.kinds.soft import SOFT_SQRT
from infra.errors import ConfigError

STORED: dict[str, Kind] = {name: kind for name, kind in KINDS.items() if kind.stored}
SHARES = RESPONSIBILITY  # what a song has of each component
TEMPERED_SQRT = (
    SOFT_SQRT  # how near a song comes to each component: the root of its tempered responsibilities
)
SEARCHED = SOFT_SQRT  # by what songs are compared where nobody asks for another kind
COMPARED = [kind for kind in STORED.values() if kind.row]


def written(without: Collection[str]) -> dict[str, Kind]:
    """The kinds that a tree of vectors has where these are left out. Raises ConfigError for what cannot be."""
    for name in without:
        kind = kind_of(name, "represent.without")
        if kind in (SHARES, TEMPERED_SQRT, SEARCHED):
            raise ConfigError(f"represent.without: {name} cannot be left out, other jobs read it")
    return {name: kind for name, kind in STORED.items() if name not in without}


def recommended_row(rows: Collection[str]) -> str | None:
    """Which of these rows of a table of scores is that of the recommended kind; None where none is of one."""
    return next((kind.row for kind in RECOMMENDED if kind.row in rows), None)


def kind_of(name: str, setting: str) -> Kind:
    """The stored kind of that name. Raises ConfigError, naming the setting, where there is none."""
    if name not in STORED:
        raise ConfigError(f"{setting}: no kind of vector is called {name!r}; known: {', '.join(STORED)}")
    return STORED[name]


def components_of(kind: Kind, n_components: int, dim: int) -> np.ndarray:
    """(dim,) of which component each number of a vector of that kind is. Raises ValueError where it cannot be one."""
    width, rest = divmod(dim, kind.blocks * n_components)
    if rest or not width:
        raise ValueError(f"{kind.name}: no vector of {n_components} components has {dim} numbers")
    return np.tile(np.repeat(np.arange(n_components), width), kind.blocks)
