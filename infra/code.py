"""A digest of code: what was computed by another version of these modules is computed again."""

import hashlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path


@cache
def digest_of_code(*modules: str) -> str:
    """Changes with any file of these modules and packages, templates too; 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for module in modules:
        for path in _files(module):
            digest.update(f"{module} {path.name}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _files(module: str) -> list[Path]:
    spec = find_spec(module)
    if spec is None:
        raise ModuleNotFoundError(module)
    if spec.submodule_search_locations:
        found = (path for folder in spec.submodule_search_locations for path in Path(folder).rglob("*"))
        return sorted(path for path in found if path.is_file() and path.suffix != ".pyc")
    assert spec.origin is not None
    return [Path(spec.origin)]
