"""The kinds of vectors that are kept of a corpus, those of `hdpgmm.kinds` that are stored."""

from hdpgmm.kinds import KINDS
from hdpgmm.kinds.kind import Kind
from hdpgmm.kinds.responsibility import RESPONSIBILITY
from hdpgmm.kinds.soft import SOFT_SQRT
from infra.errors import ConfigError

STORED: dict[str, Kind] = {name: kind for name, kind in KINDS.items() if kind.stored}
SHARES = RESPONSIBILITY  # what a song has of each component
SEARCHED = SOFT_SQRT  # by what songs are compared where nobody asks for another kind
COMPARED = [kind for kind in STORED.values() if kind.row]


def kind_of(name: str, setting: str) -> Kind:
    """The stored kind of that name. Raises ConfigError, naming the setting, where there is none."""
    if name not in STORED:
        raise ConfigError(f"{setting}: no kind of vector is called {name!r}; known: {', '.join(STORED)}")
    return STORED[name]
