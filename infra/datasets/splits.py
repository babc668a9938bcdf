"""A published split: three lists of files, as those of GTZAN, MagnaTagATune and MTG-Jamendo are handed around."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace

from infra.datasets.keys import best_named
from infra.datasets.label_files import read_labels
from infra.datasets.names import Matched, Names, same_end
from infra.datasets.readers import READERS
from infra.datasets.tracklist import URI_COLUMNS
from infra.errors import ConfigError
from infra.storage.store import read_uri

PLACE = "{}"
KEY_COLUMNS = (*URI_COLUMNS, "clip", "track_id", "id")
COLUMN = "#"
PARTS = {"train": ("train",), "valid": ("valid", "validation"), "test": ("test",)}


@dataclass(frozen=True)
class SplitList:
    """The names on one list, in order, and where it lies."""

    part: str
    uri: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class SplitLists:
    """Train, valid and test; `pattern` is what was asked for."""

    pattern: str
    lists: tuple[SplitList, ...]

    def of(self, track_ids: Sequence[str]) -> tuple[dict[str, frozenset[str]], str | None]:
        """The track ids of train, valid and test, and what to tell people if names have no track.

        Raises ConfigError where a list names no track at all, or two lists name the same one.
        """
        every = [name for one in self.lists for name in one.names]
        matched, rows = _matched(Names(track_ids), every)
        places = iter(rows)
        found: dict[str, set[str]] = {}
        owner: dict[str, str] = {}
        for one in self.lists:
            mine = (next(places) for _ in one.names)
            found[one.part] = {track_ids[row] for row in mine if row is not None}
            if not found[one.part]:
                disputed = "".join(f"; {words}" for words in matched.disputed("names"))
                raise ConfigError(
                    f"{one.uri}: none of its {len(one.names)} names is a track of the corpus, "
                    f"the first is {one.names[0]!r}{disputed}"
                )
            for track in sorted(found[one.part]):
                if owner.setdefault(track, one.part) != one.part:
                    raise ConfigError(
                        f"{one.uri}: {track!r} is on the {owner[track]} list too; "
                        "a track may be on one list only"
                    )
        parts = {part: frozenset(tracks) for part, tracks in found.items()}
        notes = matched.disputed("names of the split lists")
        if matched.unknown:
            words = f"{len(matched.unknown)} names of the split lists have no track"
            notes.insert(0, f"{words}, the first is {matched.unknown[0]!r}")
        return parts, "; ".join(notes) or None


def _matched(names: Names, values: Sequence[str]) -> tuple[Matched, list[int | None]]:
    """The rows, too, of names that want one track because they are one name, here with more folders than there."""
    matched = names.match(values)
    lost = dict(matched.rivals)
    twins = {name for name, other in lost.items() if other in lost and same_end(name, other)}
    rows = [
        names.find(value) if value in twins else row for value, row in zip(values, matched.rows, strict=True)
    ]
    rivals = [(name, other) for name, other in matched.rivals if name not in twins]
    return replace(matched, rivals=rivals), rows


def read_split_lists(pattern: str) -> SplitLists:
    """A published split: the parts that a column of a label file gives, or three lists.

    `TABLE#COLUMN`: the column says train or training, valid or validation, and test, and anything else for tracks of no
    part. A rule of a dataset may stand in the column's place: `TABLE#folder` is MagnaTagATune's split by folders.

    Otherwise a path or s3:// address in which {} stands for train, valid (or validation) and test. A list has a name a
    line; of a line with tabs the last field is the name (MagnaTagATune's lists begin with a clip's number). Where the
    first line names a column `path`, `file`, ..., that column has the names (MTG-Jamendo's).
    Raises ConfigError for a list or table that is absent, empty or not text.
    """
    if COLUMN in pattern:
        return _from_table(pattern, *pattern.rsplit(COLUMN, 1))
    if pattern.count(PLACE) != 1:
        raise ConfigError(
            f"evaluate.split: {pattern!r} must hold {PLACE} once, where train, valid and test stand in the lists' "
            "names, as in lists/{}_filtered.txt"
        )
    return SplitLists(pattern, tuple(_find(pattern, part) for part in PARTS))


def _from_table(pattern: str, uri: str, column: str) -> SplitLists:
    table = read_labels(uri)
    rules = {name: rule for reader in READERS for name, rule in reader.parts.items()}
    key = best_named(table.column_names)
    if key is None or (column not in table.column_names and column not in rules):
        needed = f"a column {column!r}" if key else f"one of the columns {', '.join(KEY_COLUMNS)}"
        raise ConfigError(
            f"evaluate.split: {uri} needs {needed} for {pattern!r}; it has {', '.join(table.column_names)}"
        )
    names = [str(name).strip() for name in table[key].to_pylist()]
    words = [rules[column](name) for name in names] if column in rules else table[column].to_pylist()
    lists = []
    for part, said in PARTS.items():
        mine = tuple(
            name
            for name, word in zip(names, words, strict=True)
            if str(word).lower().removesuffix("ing") in said
        )
        if not mine:
            raise ConfigError(f"{pattern}: no row says {' or '.join(said)}")
        lists.append(SplitList(part, pattern, mine))
    return SplitLists(pattern, tuple(lists))


def _find(pattern: str, part: str) -> SplitList:
    uris = [pattern.replace(PLACE, word) for word in PARTS[part]]
    for uri in uris:
        try:
            return SplitList(part, uri, _names(uri, read_uri(uri)))
        except FileNotFoundError:
            continue
    raise ConfigError(f"{' or '.join(uris)}: no such file; evaluate.split names three lists")


def _names(uri: str, data: bytes) -> tuple[str, ...]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"{uri}: not a text file of names, one a line") from None
    try:
        lines, commas = io.StringIO(text), uri.lower().endswith(".csv")
        rows = list(
            csv.reader(lines) if commas else csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        )
    except csv.Error as error:
        raise ConfigError(f"{uri}: not a list of names ({error})") from None
    header = [field.strip() for field in rows[0]] if rows else []
    named = best_named(header)
    if named is None:
        values = [row[-1] for row in rows if row]
    else:
        column = header.index(named)
        values = [row[column] for row in rows[1:] if len(row) > column]
    names = tuple(filter(None, (value.strip() for value in values)))
    if not names:
        raise ConfigError(f"{uri}: names no files; a list has one name a line")
    return names
