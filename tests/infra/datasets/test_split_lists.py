"""Published splits: lists of names become sides of a corpus, and what does not fit is said."""

import csv
from pathlib import Path

import numpy as np
import pytest

from evaluation.comparison.cells import score_vectors, summarise
from evaluation.probing.splits import Parts, published_splits
from evaluation.probing.tasks import Task, single_label
from infra.config import LabelConfig
from infra.datasets.labels import LabelFile, Names
from infra.datasets.splits import read_split_lists
from infra.datasets.tables import read_table
from infra.errors import ConfigError
from infra.storage.store import Store
from tests.places import SHARED

GTZAN = SHARED / "metadata/gtzan"
JAMENDO = SHARED / "metadata/mtg_jamendo"
IDS = [f"genres/{genre}/{genre}.{number:05}.au" for genre in ("blues", "rock") for number in range(4)]


def write_lists(folder: Path, **parts: list[str]) -> str:
    for part, names in parts.items():
        (folder / f"{part}_x.txt").write_text("".join(f"{name}\n" for name in names))
    return str(folder / "{}_x.txt")


def good(folder: Path, **changed: list[str]) -> str:
    names = {"train": ["blues/blues.00000.wav", "rock/rock.00000.wav"], "valid": ["rock/rock.00002.wav"]}
    return write_lists(
        folder, **{**names, "test": ["blues/blues.00003.wav", "rock/rock.00003.wav"], **changed}
    )


def test_names_of_another_kind_of_audio_are_the_same_tracks(tmp_path: Path):
    """GTZAN's lists say .wav; its archive has .au below genres/."""
    parts, note = read_split_lists(good(tmp_path)).of(IDS)
    assert parts == dict(
        zip(
            ("train", "valid", "test"),
            (frozenset({IDS[0], IDS[4]}), frozenset({IDS[6]}), frozenset({IDS[3], IDS[7]})),
            strict=True,
        )
    )
    assert note is None


def test_a_name_that_only_begins_alike_is_no_track():
    assert Names(IDS).find("blues.00001.txt") is None
    assert Names(["a/x.wav", "b/x.flac"]).find("x.mp3") is None
    assert Names(["a/x.wav", "b/x.mp3.wav"]).find("x.mp3") == 1


def test_names_without_a_track_are_counted_and_nobody_takes_their_place(tmp_path: Path):
    pattern = good(tmp_path, test=["rock/rock.00054.wav", "rock/rock.00003.wav", "jazz/jazz.00001.wav"])
    parts, note = read_split_lists(pattern).of(IDS)
    assert parts["test"] == {IDS[7]}
    assert note == "2 names of the split lists have no track, the first is 'rock/rock.00054.wav'"


def test_a_list_of_other_folders_gives_nobody_a_side(tmp_path: Path):
    """jazz/00.wav is not there; rock/00.wav is, on another list."""
    pattern = write_lists(
        *[tmp_path],
        train=["jazz/00.wav", "rock/01.wav"],
        valid=["rock/02.wav"],
        test=["rock/00.wav", "03.wav"],
    )
    ids = [f"{genre}/{number:02}.wav" for genre in ("rock", "pop") for number in range(4)]
    parts, note = read_split_lists(pattern).of(ids)
    assert parts == dict(
        zip(
            ("train", "valid", "test"),
            (frozenset({"rock/01.wav"}), frozenset({"rock/02.wav"}), frozenset({"rock/00.wav"})),
            strict=True,
        )
    )
    assert note == (
        "1 names of the split lists have no track, the first is 'jazz/00.wav'; 1 of 5 names of the split lists fit "
        "more than one track and are left out, the first is '03.wav', which may be 'rock/03.wav' or 'pop/03.wav'"
    )


def test_names_that_want_one_track(tmp_path: Path):
    """Two folders of the lists became one here: nobody's; more folders on one list than on another: the same."""
    ids = [f"{number:02}.wav" for number in range(4)]
    pattern = write_lists(
        tmp_path, train=["a/00.wav", "a/01.wav"], valid=["b/02.wav"], test=["b/00.wav", "b/03.wav"]
    )
    parts, note = read_split_lists(pattern).of(ids)
    assert parts == dict(
        zip(
            ("train", "valid", "test"),
            (frozenset({ids[1]}), frozenset({ids[2]}), frozenset({ids[3]})),
            strict=True,
        )
    )
    assert note == (
        "2 of 5 names of the split lists want a track that another one fits as well or better and are left out, "
        "the first is 'a/00.wav' beside 'b/00.wav'"
    )
    pattern = write_lists(tmp_path, train=["a/01.wav", "x/a/01.wav"], valid=["b/02.wav"], test=["b/03.wav"])
    parts, note = read_split_lists(pattern).of(ids)
    assert (parts["train"], note) == ({ids[1]}, None)


def test_a_table_of_parts_names_its_tracks_in_any_known_column(tmp_path: Path):
    rows = "".join(
        f"{i},t{i},{path},{part}\n"
        for i, (path, part) in enumerate(zip(IDS[:3], ("train", "valid", "test"), strict=True))
    )
    (tmp_path / "r.csv").write_text("X,id,PATH,fold\n" + rows)
    assert read_split_lists(f"{tmp_path}/r.csv#fold").of(IDS)[0]["test"] == {IDS[2]}


def test_lines_with_a_clip_number_and_a_byte_order_mark(any_root: str):
    """MagnaTagATune's lists: number, tab, path."""
    store = Store(any_root)
    for number, part in enumerate(("train", "valid", "test")):
        store.write(f"lists/{part}.tsv", f"\ufeff{number}\tf/clip-{number}.mp3\r\n\r\n".encode())
    parts, _ = read_split_lists(store.uri("lists/{}.tsv")).of([f"mp3/f/clip-{n}.mp3" for n in range(3)])
    assert (parts["train"], parts["test"]) == ({"mp3/f/clip-0.mp3"}, {"mp3/f/clip-2.mp3"})


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"test": ["x" * 200_000]}, r"test_x\.txt: not a list of names \(field larger than"),
        ({"test": []}, r"test_x\.txt: names no files"),
        ({"valid": ["nothing.wav"]}, r"valid_x\.txt: none of its 1 names is a track of the corpus"),
        (
            {"test": ["rock.00000.wav"]},
            r"test_x\.txt: 'genres/rock/rock\.00000\.au' is on the train list too",
        ),
    ],
)
def test_lists_that_do_not_fit(tmp_path: Path, changed: dict[str, list[str]], message: str):
    with pytest.raises(ConfigError, match=message):
        read_split_lists(good(tmp_path, **changed)).of(IDS)


def test_lists_that_are_not_there_or_not_lists(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"train_x\.txt: no such file"):
        read_split_lists(str(tmp_path / "{}_x.txt"))
    with pytest.raises(ConfigError, match=r"must hold \{\} once"):
        read_split_lists(str(tmp_path / "train_x.txt"))
    pattern = good(tmp_path)
    (tmp_path / "test_x.txt").write_bytes(b"RIFF\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"test_x\.txt: not a text file"):
        read_split_lists(pattern)


def test_lists_with_row_numbers_and_ids(tmp_path: Path):
    """R's write.csv of a part of a table."""
    for part, numbers in {"train": (0, 1), "valid": (2,), "test": (3,)}.items():
        rows = "".join(f'"{row}",{number},"rock"\n' for row, number in enumerate(numbers, 1))
        (tmp_path / f"{part}.csv").write_text('"","track_id","genre"\n' + rows)
    parts, note = read_split_lists(f"{tmp_path}/{{}}.csv").of([f"{number}.mp3" for number in range(4)])
    assert (parts["train"], parts["test"], note) == ({"0.mp3", "1.mp3"}, {"3.mp3"}, None)


HEADER = "TRACK_ID\tARTIST_ID\tALBUM_ID\tPATH\tDURATION\tTAGS\n"


def jamendo_row(number: int) -> str:
    tags = ["mood/theme---calm", "mood/theme---dark"][: 1 + number % 2]
    fields = (
        f"track_{number:07}",
        f"artist_{number // 3:06}",
        "album_000001",
        f"{number:02}/{number}.mp3",
        "30.0",
    )
    return "\t".join((*fields, *tags)) + "\n"


def test_the_layout_of_mtg_jamendo(tmp_path: Path):
    """A field for each tag, lists that are tables, and `validation` for valid."""
    for part, numbers in {"train": range(6), "validation": range(6, 8), "test": range(8, 12)}.items():
        rows = "".join(map(jamendo_row, numbers))
        (tmp_path / f"autotagging_moodtheme-{part}.tsv").write_text(HEADER + rows)
    (tmp_path / "all.tsv").write_text(HEADER + "".join(map(jamendo_row, range(12))))
    ids = [f"{number:02}/{number}.mp3" for number in range(12)]
    parts, note = read_split_lists(str(tmp_path / "autotagging_moodtheme-{}.tsv")).of(ids)
    assert (parts["valid"], len(parts["train"]), len(parts["test"]), note) == (
        {"06/6.mp3", "07/7.mp3"},
        6,
        4,
        None,
    )
    labels = LabelFile("all.tsv", read_table(str(tmp_path / "all.tsv")))
    columns = labels.columns(LabelConfig(), Names(ids))  # pyright: ignore[reportCallIssue]
    assert (columns.key, columns.multi, columns.group) == ("PATH", ("TAGS",), "ARTIST_ID")
    assert labels.values["TAGS"][6:8] == ["mood/theme---calm", "mood/theme---calm|mood/theme---dark"]


@pytest.mark.skipif(not JAMENDO.exists(), reason="the shared lists are not on this machine")
def test_the_lists_of_mtg_jamendo_themselves():
    lists = read_split_lists(f"{JAMENDO}/autotagging_moodtheme-{{}}.tsv")
    sizes = [len(one.names) for one in lists.lists]
    ids = sorted({name for one in lists.lists for name in one.names})
    assert len(ids) == sum(sizes)
    assert lists.of(ids)[1] is None
    for one in lists.lists:
        tags = read_table(one.uri)["TAGS"].to_pylist()
        assert len(tags) == len(one.names)
        assert any("|" in value for value in tags)


@pytest.mark.skipif(not GTZAN.exists(), reason="the shared lists are not on this machine")
@pytest.mark.parametrize(("name", "sizes"), [("filtered", (443, 197, 290)), ("stratified", (500, 250, 250))])
def test_both_splits_of_gtzan(name: str, sizes: tuple[int, int, int]):
    ids, _ = gtzan()
    parts, note = read_split_lists(f"{GTZAN}/{{}}_{name}.txt").of(ids)
    assert tuple(map(len, (parts["train"], parts["valid"], parts["test"]))) == sizes
    assert note is None


@pytest.mark.skipif(not GTZAN.exists(), reason="the shared features are not on this machine")
@pytest.mark.parametrize(
    ("features", "expected"), [(["mfcc"], 0.519), ([f"layer_{n}" for n in range(5)], 0.855)]
)
def test_macro_f1_of_others_features_on_the_fault_filtered_split(features: list[str], expected: float):
    """scikit-learn's logistic regression gave these figures with C=0.1, trained on train and valid."""
    ids, genres = gtzan()
    x = np.concatenate([np.load(GTZAN / f"features/gtzan_genre_{name}.npy") for name in features], axis=1)
    named, _ = read_split_lists(f"{GTZAN}/{{}}_filtered.txt").of(ids)
    listed = Parts(**named)
    task = single_label(
        "genre", ids, [g if i in listed.songs else None for i, g in zip(ids, genres, strict=True)], None, 2
    )
    assert isinstance(task, Task)
    parts = Parts(listed.train | listed.valid, frozenset(), listed.test)
    rows = {track: row for row, track in enumerate(ids)}
    vectors = x[[rows[song] for song in task.songs]].astype(np.float64)
    scored = score_vectors("theirs", vectors, task, published_splits(task, parts), bootstrap=20, seed=0)
    f1, accuracy = summarise(scored)
    assert f1.mean == pytest.approx(expected, abs=0.01)
    assert (f1.metric, f1.n_songs) == ("macro_f1", 290)
    assert accuracy.low <= accuracy.mean <= accuracy.high


def gtzan() -> tuple[list[str], list[str]]:
    """Track ids and genres in the order of the rows of the features."""
    with (GTZAN / "features/gtzan_genre.csv").open() as file:
        rows = list(csv.DictReader(file))
    return [row["filepath"] for row in rows], [row["id"] for row in rows]
