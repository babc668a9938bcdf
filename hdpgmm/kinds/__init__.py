"""The kinds of vectors that a song gets from a model.

A new one is one file here and one entry in KINDS: `HDPGMM.transform` gives it, and the jobs, which read this registry
too, write it (where `stored`), compare it (where it has a `row`), and search by it.
"""

from hdpgmm.kinds.fisher import FISHER
from hdpgmm.kinds.kind import Kind
from hdpgmm.kinds.posterior import POSTERIOR, POSTERIOR_LOG, POSTERIOR_SQRT
from hdpgmm.kinds.responsibility import EXPECTED, RESPONSIBILITY
from hdpgmm.kinds.soft import SOFT, SOFT_SQRT

_ALL = (POSTERIOR, POSTERIOR_LOG, POSTERIOR_SQRT, SOFT, SOFT_SQRT, RESPONSIBILITY, EXPECTED, FISHER)
KINDS: dict[str, Kind] = {kind.name: kind for kind in _ALL}
# The kind for all tasks, chosen before any test song is seen: the first of these that songs have.
RECOMMENDED: tuple[Kind, ...] = (FISHER, SOFT_SQRT)
