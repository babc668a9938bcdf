"""Which track a name means, against every track compared with every name; and names as people write them."""

import unicodedata
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.datasets.names import Names, same_end

EXTENSIONS = ("", ".mp3", ".wav", ".low.mp3", ".low", ".mp3.wav", ".txt")
FOLDERS = st.lists(st.sampled_from(["A", "B", "AB", "é"]), max_size=3).map(tuple)
BASES = st.builds(str.__add__, st.sampled_from(["01", "1", "ö 1"]), st.sampled_from(EXTENSIONS))
PATHS = st.tuples(FOLDERS, BASES)
Path = tuple[tuple[str, ...], str]


def text(path: Path) -> str:
    return "/".join((*path[0], path[1]))


def written(path: Path, how: int) -> str:
    """The same name as somebody else writes it."""
    plain = text(path)
    forms = (
        plain,
        "./" + plain,
        plain.replace("/", "\\"),
        plain.replace("/", "/./"),
        "../" + plain,
        unicodedata.normalize("NFD", plain),
        "C/../" + plain,
    )
    return forms[how % len(forms)]


def difference(one: str, other: str) -> int | None:
    """The same as the docstring of `Names` says, by trying all endings."""

    def bares(name: str) -> set[str]:
        return {name.removesuffix(end) for end in (".mp3", ".wav") if name.endswith(end)}

    def lows(name: str) -> set[str]:
        stem = next(iter(bares(name)), name)
        return {stem, stem.removesuffix(".low")}

    if one == other:
        return 0
    if one in bares(other) or other in bares(one):
        return 1
    if bares(one) & bares(other):
        return 2
    stems = [next(iter(bares(name)), name) for name in (one, other)]
    return 3 if lows(one) & lows(other) and stems[0] != stems[1] else None


def fits(tracks: list[Path], name: Path) -> list[tuple[int, int, bool]]:
    found = []
    for row, (folders, base) in enumerate(tracks):
        how, shared = difference(base, name[1]), min(len(folders), len(name[0]))
        ends = folders[len(folders) - shared :] == name[0][len(name[0]) - shared :]
        if how is not None and ends:
            found.append((row, how, len(folders) == len(name[0])))
    return found


def best(found: list[tuple[int, int, bool]]) -> list[int]:
    """The one that nothing beats and that beats all others, in file name and folders; else all."""
    least = [f for f in found if f[1] == min(g[1] for g in found) and f[2] == max(g[2] for g in found)]
    return [least[0][0]] if len(least) == 1 else [f[0] for f in found]


@settings(max_examples=200, deadline=None)
@given(
    tracks=st.lists(PATHS, unique=True, min_size=1, max_size=60),
    asked=st.lists(st.tuples(PATHS, st.integers(0, 6)), min_size=1, max_size=8),
)
def test_one_path_is_the_end_of_the_other(tracks: list[Path], asked: list[tuple[Path, int]]):
    ids = [text(track) for track in tracks]
    names = Names(ids)
    for name, how in asked:
        found = best(fits(tracks, name))
        assert names.find(written(name, how)) == (found[0] if len(found) == 1 else None)
        assert [same_end(written(name, how), track) for track in ids] == [
            bool(fits([track], name)) for track in tracks
        ]


@settings(max_examples=200, deadline=None)
@given(
    tracks=st.lists(PATHS, unique=True, min_size=1, max_size=30),
    table=st.lists(PATHS, unique=True, min_size=1, max_size=30),
)
def test_no_track_has_two_names_and_every_name_is_accounted_for(tracks: list[Path], table: list[Path]):
    matched = Names([text(track) for track in tracks]).match([text(name) for name in table])
    found = [fits(tracks, name) for name in table]
    chosen = [best(fit) for fit in found]
    expected: list[int | None] = [None] * len(table)
    for track in range(len(tracks)):
        mine = [i for i, rows in enumerate(chosen) if rows == [track]]
        ranks = [next(fit for fit in found[i] if fit[0] == track) for i in mine]
        winners = best([(i, *rank[1:]) for i, rank in zip(mine, ranks, strict=True)])
        if len(winners) == 1:
            expected[winners[0]] = track
    assert matched.rows == expected
    assert Counter(text(name) for name in table) == Counter(
        [text(name) for name, row in zip(table, expected, strict=True) if row is not None]
        + [name for name in matched.unknown if name]
        + [name for name, *_ in matched.unclear]
        + [name for name, _ in matched.rivals]
    )
    for name, one, other in matched.unclear:
        assert one != other
        assert same_end(name, one)
        assert same_end(name, other)


@pytest.mark.parametrize(
    "name",
    [
        "B/My song.wav",
        "/home/me/Music/B/My song.mp3",
        "C:\\Users\\me\\Music\\B\\My song.mp3",
        "file:///home/me/Music/B/My%20song.mp3",
        "s3://bucket/music/B/My song.mp3",
        "https://host/music/B/My%20song.mp3?download=1#t=3",
        "..\\Music\\B\\.\\My song.flac",
        "music//B//My song",
        "My song.low.mp3",
    ],
)
def test_names_as_people_write_them(name: str):
    assert Names(["A/other.mp3", "B/My song.mp3", "B/song.mp3"]).find(name) == 1


@pytest.mark.parametrize(
    "name", ["song", "xB/My song.mp3", "Music/My song.mp3", "B", "/", ".", "B/my song.mp3"]
)
def test_what_only_looks_alike_is_another_track(name: str):
    assert Names(["A/other.mp3", "B/My song.mp3", "b/My songs.mp3"]).find(name) is None


def test_composed_and_decomposed_letters_are_one_name_unless_both_are_there():
    composed, decomposed = (unicodedata.normalize(form, "é/Café.mp3") for form in ("NFC", "NFD"))
    assert Names([decomposed]).find(composed) == 0
    assert Names([composed]).find("x/" + decomposed) == 0
    both = Names([composed, decomposed])
    assert (both.find(composed), both.find(decomposed), both.find("x/" + composed)) == (0, 1, None)


def test_an_address_of_the_very_file_is_its_name():
    """/m/data/a.mp3 ends with the whole names of both tracks."""
    names = Names(["a.mp3", "data/a.mp3"], "/m/data/")
    assert (names.find("/m/data/a.mp3"), names.find("/m/data/data/a.mp3")) == (0, 1)
    assert Names(["a.mp3", "data/a.mp3"]).find("/m/data/a.mp3") is None


def test_a_track_at_the_top_beside_many_of_its_name():
    ids = ["01.mp3", *(f"a/{number}/01.mp3" for number in range(20)), "b/01.mp3"]
    names = Names(ids)
    assert names.find("x/01.mp3") == 0
    assert names.find("x/b/01.mp3") is None  # the end of which two are
    assert (names.find("b/01.wav"), names.find("7/01.mp3"), names.find("a/01.wav")) == (21, None, 0)


def test_many_tracks_of_one_name_are_told_apart_by_their_folders():
    ids = [f"artist {a}/album {b}/01.mp3" for a in range(40) for b in range(25)]
    names = Names(ids)
    matched = names.match([f"/m/{name}" for name in ids] + ["01.mp3", "album 3/01.mp3", "album 99/01.mp3"])
    assert matched.rows == [*range(1000), None, None, None]
    assert [name for name, *_ in matched.unclear] == ["01.mp3", "album 3/01.mp3"]
    assert matched.unknown == ["album 99/01.mp3"]
    assert "2 of 1003 rows fit more than one track and are left out, the first is '01.mp3'" in "; ".join(
        matched.told("rows")
    )
