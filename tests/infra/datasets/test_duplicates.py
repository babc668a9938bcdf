"""Files of the same bytes under several names, against all contents compared; and how little is read for it."""

import os
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.datasets.audio import Found, scan
from infra.datasets.duplicates import BLOCK, LOOK, find_duplicates
from infra.storage.store import Store

GIB = 1 << 30
CONTENTS = [
    b"",
    b"a",
    b"b",
    b"ab",
    b"a" * BLOCK * 3,
    b"b" + b"a" * (BLOCK * 3 - 1),
    b"a" * (BLOCK * 3 - 1) + b"c",
]


def write(folder: Path, files: dict[str, bytes]) -> list[Found]:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return scan(str(folder))[0]


@settings(max_examples=50, deadline=None)
@given(contents=st.lists(st.sampled_from(CONTENTS), min_size=1, max_size=12))
def test_the_same_bytes_are_found_whatever_lies_in_the_middle(
    tmp_path_factory: pytest.TempPathFactory, contents: list[bytes]
):
    files = {f"{place:02}.mp3": data for place, data in enumerate(contents)}
    names = defaultdict(list)
    for name, data in files.items():
        names[data].append(name)
    alike = sorted(tuple(group) for data, group in names.items() if data and len(group) > 1)
    assert find_duplicates(write(tmp_path_factory.mktemp("m"), files), GIB).groups == tuple(alike)


def test_links_are_the_same_and_are_not_read(tmp_path: Path):
    """A sparse file of a terabyte would not be done today."""
    found = write(tmp_path, {"a.mp3": b"x"})
    os.truncate(tmp_path / "a.mp3", 1 << 40)
    os.link(tmp_path / "a.mp3", tmp_path / "b.mp3")
    (tmp_path / "c.mp3").symlink_to(tmp_path / "a.mp3")
    found = scan(str(tmp_path))[0]
    assert find_duplicates(found, 1 << 50).groups == (("a.mp3", "b.mp3", "c.mp3"),)


def test_the_budget_goes_to_sizes_that_few_files_share(tmp_path: Path):
    """Clips of one length all have one size; what is not compared is counted."""
    clips = {f"clip{number}.mp3": os.urandom(64) for number in range(10)}
    found = write(tmp_path, {**clips, "x.mp3": b"twice", "y.mp3": b"twice"})
    result = find_duplicates(found, 3 * LOOK)
    assert result.groups == (("x.mp3", "y.mp3"),)
    assert result.n_uncompared == 10
    assert str(result) == (
        "1 files have the same bytes as another one, the first is 'y.mp3', the same as 'x.mp3'; all are kept as "
        "tracks, which may fall on both sides of a split; 10 files whose size others share were not compared "
        "(index.compare_bytes)"
    )
    assert str(find_duplicates(found, 0)) == ""
    assert str(find_duplicates(write(tmp_path / "z", clips), GIB)) == ""


def test_files_that_vanish_meanwhile_are_like_no_other(tmp_path: Path):
    found = write(tmp_path, {f"{name}.mp3": b"same" for name in "abcd"})
    for name in "ab":
        (tmp_path / f"{name}.mp3").unlink()
    assert find_duplicates(found, GIB).groups == (("c.mp3", "d.mp3"),)


@pytest.mark.s3
def test_objects_are_compared_by_size_and_etag(s3_root: str):
    store = Store(s3_root)
    for name, data in {"a.mp3": b"one", "b/a.mp3": b"one", "c.mp3": b"two", "d.mp3": b"three"}.items():
        store.write(name, data)
    assert find_duplicates(scan(s3_root)[0], 1).groups == (("a.mp3", "b/a.mp3"),)
    own = [Found(f"s3://b/{name}", name, 3, "version 1") for name in ("a.mp3", "b.mp3")]
    assert find_duplicates(own, 1).groups == ()
