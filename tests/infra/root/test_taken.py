"""Names that were taken are never used again; local and in S3."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from infra.root.taken import MOST_FILES, give_back, take, taken, unused
from infra.storage.store import Store

pytestmark = pytest.mark.s3


@pytest.fixture
def store(any_root: str) -> Store:
    return Store(any_root)


def test_names_are_taken_by_place_and_given_back_by_their_taker(store: Store) -> None:
    assert taken(store, "features/f") == frozenset()
    mine, other = take(store, "features/f", ["a", "b"]), take(store, "features/f", ["b", "c"])
    assert taken(store, "features/f") == {"a", "b", "c"}
    assert taken(store, "features/g") == taken(store, "models") == frozenset()
    give_back(store, mine, ["a"])
    assert taken(store, "features/f") == {"a", "b", "c"}
    give_back(store, other, [])
    assert taken(store, "features/f") == {"a"}


def test_many_records_become_one_and_no_name_is_lost(store: Store) -> None:
    names = [f"n{number}" for number in range(MOST_FILES + 8)]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda name: take(store, "models", [name]), names))
    assert taken(store, "models") == set(names)
    assert len(store.names("gc/taken/models")) <= MOST_FILES


def test_what_is_taken_has_the_same_successor_for_everybody() -> None:
    assert unused("abcdef", {"b"}) == "abcdef"
    second = unused("abcdef", {"abcdef"})
    assert len(second) == 6
    assert second == unused("abcdef", {"abcdef", "x"}) != "abcdef"
    assert unused("abcdef", {"abcdef", second}) not in ("abcdef", second)
