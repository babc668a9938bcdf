"""The kinds of vectors that a song gets from a model.

A new one is one file here and one entry in KINDS: `jobs.represent` writes it, `jobs.evaluate` compares it where it has
a row, `jobs.similar` searches by it.
"""

from infra.errors import ConfigError
from jobs.represent.kinds.kind import Kind
from jobs.represent.kinds.posterior import LOG, SQRT
from jobs.represent.kinds.responsibility import EXPECTED, RESPONSIBILITY
from jobs.represent.kinds.soft import SOFT

KINDS: dict[str, Kind] = {kind.column: kind for kind in (LOG, SQRT, SOFT, RESPONSIBILITY, EXPECTED)}
SHARES = RESPONSIBILITY  # what a song has of each component
SEARCHED = SOFT  # by what songs are compared where nobody asks for another kind
COMPARED = [kind for kind in KINDS.values() if kind.row]


def kind_of(column: str, setting: str) -> Kind:
    """The kind of that column. Raises ConfigError, naming the setting, where there is none."""
    if column not in KINDS:
        raise ConfigError(f"{setting}: no kind of vector is called {column!r}; known: {', '.join(KINDS)}")
    return KINDS[column]
