"""The Hierarchical Dirichlet Process Gaussian Mixture Model as pure functions on tensors. Needs torch and numpy alone.

Axis words: song, frame, dim (D), comp (K, corpus components), atom (T, components of one song).

>>> from hdpgmm import HDPGMM
"""

from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hdpgmm.estimator import HDPGMM as HDPGMM
    from hdpgmm.training_step import Settings as Settings

    __version__: str

_PUBLIC = {"HDPGMM": "hdpgmm.estimator", "Settings": "hdpgmm.training_step"}


def __getattr__(name: str) -> Any:
    """What is public, when it is first asked for: torch takes two seconds to import, which not all of it needs."""
    if name == "__version__":
        return metadata.version("hdpgmm")
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'hdpgmm' has no attribute {name!r}")
