"""Packing: every track once, limits kept, names that depend on the tracks and nothing else."""

import random

from hypothesis import given
from hypothesis import strategies as st

from jobs.extract.packing import MIN_SHARD_TRACKS, Track, estimated_seconds, pack, row_groups


def size_of(seconds: float) -> float:
    return seconds * 22050 / 512 * 52 * 4


names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)
track_lists = st.dictionaries(names, st.tuples(st.integers(0, 10**8), names), max_size=200).map(
    lambda found: [Track(name, f"/m/{name}", size, version) for name, (size, version) in found.items()]
)


@given(track_lists, st.integers(1, 10**8), st.integers(1, 64), st.randoms())
def test_every_track_is_in_one_shard_within_limits(
    tracks: list[Track], shard_bytes: int, shard_tracks: int, shuffler: random.Random
):
    shards = pack(tracks, "f", size_of, shard_bytes, shard_tracks)
    packed = [track for shard in shards for track in shard.tracks]
    assert packed == sorted(tracks)
    assert len({shard.name for shard in shards}) == len(shards)
    for shard in shards:
        assert 1 <= len(shard.tracks) <= shard_tracks
        sizes = [int(size_of(estimated_seconds(track))) + 1 for track in shard.tracks]
        assert shard.feature_bytes == sum(sizes)
        assert shard.feature_bytes <= shard_bytes or len(sizes) == 1
    shuffler.shuffle(tracks)
    assert pack(tracks, "f", size_of, shard_bytes, shard_tracks) == shards


@given(track_lists.filter(bool), names)
def test_the_name_changes_with_version_and_specification(tracks: list[Track], version: str):
    (first, *_) = pack(tracks, "f", size_of, 1 << 60, 512)
    changed = [first.tracks[0]._replace(version=first.tracks[0].version + version), *first.tracks[1:]]
    assert pack(changed, "f", size_of, 1 << 60, 512)[0].name != first.name
    assert pack(tracks, "g", size_of, 1 << 60, 512)[0].name != first.name


def test_the_name_tells_ids_from_versions():
    shards = [
        pack([Track(a, "", 1, b)], "f", size_of, 1 << 60, 512)[0].name for a, b in (("ab", "c"), ("a", "bc"))
    ]
    assert shards[0] != shards[1]


def test_a_small_corpus_gives_several_shards():
    def sizes(count: int) -> list[int]:
        tracks = [Track(f"{number:05}", "", 10**6, "1") for number in range(count)]
        return [len(shard.tracks) for shard in pack(tracks, "f", size_of, 1 << 60, 512)]

    assert sizes(120) == [MIN_SHARD_TRACKS] * 15
    assert sizes(1030) == [32] * 32 + [6]
    assert set(sizes(40_000)[:-1]) == {512}


def test_estimates_know_the_formats():
    minute = {"wav": 10_584_000, "flac": 6_000_000, "mp3": 960_000, "strange": 960_000}
    for extension, size in minute.items():
        assert estimated_seconds(Track(f"x.{extension}", "", size, "")) == 60


@given(st.lists(st.integers(0, 1000), max_size=100), st.integers(1, 2000))
def test_row_groups_cover_all_rows(sizes: list[int], most: int):
    groups = row_groups(sizes, most)
    assert sum(groups) == len(sizes)
    start = 0
    for rows in groups:
        assert rows >= 1
        assert sum(sizes[start : start + rows]) <= most or rows == 1
        start += rows


def test_the_name_tells_how_often_a_track_was_tried():
    track = Track("a", "", 1, "v")
    tries = [track, track._replace(attempts=1), track._replace(attempts=2)]
    assert len({pack([each], "f", size_of, 1 << 60, 512)[0].name for each in tries}) == 3
