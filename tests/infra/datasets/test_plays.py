"""Plays in the layouts people have: Echonest's, HetRec's, tables; and what they lose."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.datasets.plays import matrix, read_plays
from infra.errors import ConfigError
from infra.storage.store import Store
from tests.places import SHARED

PLAYS = SHARED / "metadata/taste"
TRIPLETS = "u1\tSOA\t5\nu1\tSOB\t1\nu2\tSOB\t2\nu2\tSOC\t1\nu2\tSOD\t9\nu3\tSOD\t1\nu1\tSOA\t2\n"
MAPPING = "SOA\tTRA\tTRA2\nSOB\tTRX\tTRB\nSOC\nSOD\tTRD\nSOE\tTRE\n"
LIVING = ["m/TRA.mp3", "m/TRA2.mp3", "m/TRB.mp3", "m/TRD.mp3"]


@pytest.mark.s3
def test_echonests_triplets_and_its_song_to_track_list(any_root: str):
    """A song is its first track with a vector; songs without one are counted, and so are their plays."""
    store = Store(any_root)
    store.write("train_triplets.txt", TRIPLETS.encode())
    store.write("taste_profile_song_to_tracks.txt", MAPPING.encode())
    uris = [store.uri(name) for name in ("train_triplets.txt", "taste_profile_song_to_tracks.txt")]
    found = read_plays(*uris, LIVING, 1, 1)
    assert found.tracks == ("m/TRA.mp3", "m/TRB.mp3", "m/TRD.mp3")
    np.testing.assert_array_equal(found.plays.toarray(), [[1, 1, 0], [0, 1, 1], [0, 0, 1]])
    assert found.note == "1 of 4 songs, with 14.3 % of the plays, have no vector"


def test_rare_songs_go_first_then_users_with_few_songs(tmp_path: Path):
    (tmp_path / "t.txt").write_text(TRIPLETS)
    (tmp_path / "map.txt").write_text(MAPPING)
    uris = [str(tmp_path / name) for name in ("t.txt", "map.txt")]
    found = read_plays(*uris, LIVING, 2, 1)
    assert found.tracks == ("m/TRB.mp3", "m/TRD.mp3")
    assert found.plays.shape == (3, 2)
    assert read_plays(*uris, LIVING, 1, 2).plays.shape == (2, 3)
    with pytest.raises(
        ConfigError, match=r"1 users have 2 songs that 2 users played.*lower recommendation\.min_songs"
    ):
        read_plays(*uris, LIVING, 2, 2)


@pytest.mark.parametrize("name", ["plays.csv", "plays.tsv", "plays.parquet", "plays.dat"])
def test_tables_with_named_columns_in_any_order(tmp_path: Path, name: str):
    table = pa.table({"weight": [3, 1, 1], "artistID": [7, 8, 8], "userID": [2, 2, 9]})
    if name.endswith(".parquet"):
        pq.write_table(table, tmp_path / name)
    else:
        comma = "," if name.endswith(".csv") else "\t"
        rows = [table.column_names, *zip(*table.to_pydict().values(), strict=True)]
        (tmp_path / name).write_text("".join(comma.join(map(str, row)) + "\n" for row in rows))
    found = read_plays(str(tmp_path / name), None, ["7.mp3", "8.mp3"], 1, 1)
    assert found.tracks == ("7.mp3", "8.mp3")
    np.testing.assert_array_equal(found.plays.toarray(), [[1, 1], [0, 1]])


def test_songs_that_may_be_several_tracks_are_nobodys(tmp_path: Path):
    """Judged against all tracks: 01.mp3 may be the one without a vector."""
    names = ["A/01.mp3", "01.mp3", "x/02.mp3", "y/02.mp3", "B/03.mp3"]
    (tmp_path / "t.csv").write_text("user,song\n" + "".join(f"{u},{n}\n" for u in "uvw" for n in names))
    listed = ["A/01.mp3", "B/01.mp3", "02.mp3", "03.mp3", "z/04.mp3"]
    found = read_plays(f"{tmp_path}/t.csv", None, {"A/01.mp3", "02.mp3", "03.mp3"}, 1, 1, listed)
    assert found.tracks == ("A/01.mp3", "03.mp3")
    assert found.note == (
        "3 of 5 songs, with 60 % of the plays, have no vector; 1 of 5 names of songs fit more than one track and are "
        "left out, the first is '01.mp3', which may be 'A/01.mp3' or 'B/01.mp3'; 2 of 5 names of songs want a track "
        "that another one fits as well or better and are left out, the first is 'x/02.mp3' beside 'y/02.mp3'"
    )


@pytest.mark.skipif(not PLAYS.is_dir(), reason="needs ../shared/metadata/taste")
def test_hetrecs_plays_of_artists():
    living = [f"{artist}.mp3" for artist in range(1, 20_000)]
    found = read_plays(str(PLAYS / "user_artists.dat"), None, living, 1, 2)
    users, artists = found.plays.shape  # pyright: ignore
    assert (users, artists) == (1884, 17_632)  # eight of the 1,892 users have one artist alone
    assert found.plays.nnz == 92_834 - 8
    assert found.note.startswith("0 of 17632 songs")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("gone.txt", None, "no such file"),
        ("plays.json", "{}", "expected a .txt, .dat"),
        ("empty.txt", "", "the first line is ''"),
        ("one.txt", "only one column\n", "expected a user and a song with a tab between"),
        ("odd.txt", "u1\tSOA\nu1\tSOB\tSOC\textra\n", "not a readable table of plays"),
        ("half.txt", "u1\tSOA\n\tSOB\n", "a row lacks its user or its song"),
        (
            "other.txt",
            "u1\tTRQ\nu2\tTRQ\n",
            "none of its 1 songs has a track with a vector, the first is 'TRQ'",
        ),
        ("nosong.csv", "user,weight\n1,2\n", "needs a column user and a column song; it has user, weight"),
        ("binary.txt", "\x00\x01\t\udcff\n", "not a readable table of plays"),
    ],
)
def test_what_is_no_table_of_plays_is_said_in_one_line(
    tmp_path: Path, name: str, text: str | None, message: str
):
    if text is not None:
        (tmp_path / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigError, match=message) as error:
        read_plays(str(tmp_path / name), None, LIVING, 1, 1)
    assert "\n" not in str(error.value)
    assert name in str(error.value)


@pytest.mark.parametrize("damage", ["compressed data", "text"])
def test_a_damaged_parquet_table_is_said_in_one_line(tmp_path: Path, damage: str):
    path = tmp_path / "plays.parquet"
    packed = {"compression": "zstd" if damage == "compressed data" else "none", "use_dictionary": False}
    pq.write_table(pa.table({"user": ["u1"] * 40, "track": ["TRA.mp3"] * 40}), path, **packed)
    whole = path.read_bytes()
    if damage == "text":
        path.write_bytes(whole.replace(b"TRA.mp3", b"TR\xd8.mp3"))
    else:
        path.write_bytes(whole.replace(b"\x28\xb5\x2f\xfd", b"\x00\x00\x00\x00"))  # how zstd begins
    assert path.read_bytes() != whole
    with pytest.raises(ConfigError, match="not a readable table of plays"):
        read_plays(str(path), None, LIVING, 1, 1)


def test_mappings_that_do_not_fit_are_refused(tmp_path: Path):
    (tmp_path / "t.txt").write_text(TRIPLETS)
    (tmp_path / "twice.txt").write_text("SOA\tTRA\nSOA\tTRB\n")
    for name, message in (("gone.txt", "no such file"), ("twice.txt", "more than one line for 'SOA'")):
        with pytest.raises(ConfigError, match=message):
            read_plays(str(tmp_path / "t.txt"), str(tmp_path / name), LIVING, 1, 1)


def test_plays_count_once():
    found = matrix(np.array([0, 0, 1]), np.array([2, 2, 0]), 2, 3)
    np.testing.assert_array_equal(found.toarray(), [[0, 0, 1], [1, 0, 0]])
