"""What was computed by other code is computed again."""

import sys
from pathlib import Path

import pytest

from infra.code import digest_of_code


def test_a_digest_changes_with_any_file_of_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "some/inner").mkdir(parents=True)
    for name in ("some/__init__.py", "some/inner/__init__.py", "some/inner/one.py", "alone.py"):
        (tmp_path / name).write_text("x = 1\n")
    monkeypatch.syspath_prepend(tmp_path)

    def digest(*modules: str) -> str:
        digest_of_code.cache_clear()
        return digest_of_code(*modules)

    first = digest("some", "alone")
    assert digest("some", "alone") == first != digest("some")
    (tmp_path / "some/inner/one.py").write_text("x = 2\n")
    second = digest("some", "alone")
    (tmp_path / "alone.py").write_text("x = 2\n")
    assert len({first, second, digest("some", "alone")}) == 3
    with pytest.raises(ModuleNotFoundError):
        digest("none_such")
    digest_of_code.cache_clear()
    sys.modules.pop("some", None)
