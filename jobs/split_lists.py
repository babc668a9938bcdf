"""A published split: three lists of files, as those of GTZAN, MagnaTagATune and MTG-Jamendo are handed around."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from evaluation.splits import Parts
from infra.errors import ConfigError
from infra.storage import read_uri
from infra.tracklist import URI_COLUMNS
from jobs.labels import Names

PLACE = "{}"
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

    def of(self, track_ids: Sequence[str]) -> tuple[Parts, str | None]:
        """The lists as track ids, and what to tell people if names have no track.

        Raises ConfigError where a list names no track at all, or two lists name the same one.
        """
        names = Names(track_ids)
        found: dict[str, set[str]] = {}
        owner: dict[str, str] = {}
        missing: list[str] = []
        for one in self.lists:
            rows = [names.find(name) for name in one.names]
            missing += [name for name, row in zip(one.names, rows, strict=True) if row is None]
            found[one.part] = {track_ids[row] for row in rows if row is not None}
            if not found[one.part]:
                raise ConfigError(
                    f"{one.uri}: none of its {len(one.names)} names is a track of the corpus, "
                    f"the first is {one.names[0]!r}"
                )
            for track in sorted(found[one.part]):
                if owner.setdefault(track, one.part) != one.part:
                    raise ConfigError(
                        f"{one.uri}: {track!r} is on the {owner[track]} list too; "
                        "a track may be on one list only"
                    )
        parts = Parts(**{part: frozenset(tracks) for part, tracks in found.items()})
        if not missing:
            return parts, None
        return parts, f"{len(missing)} names of the split lists have no track, the first is {missing[0]!r}"


def read_split_lists(pattern: str) -> SplitLists:
    """The lists at a path or s3:// address in which {} stands for train, valid (or validation) and test.

    A list has a name a line; of a line with tabs the last field is the name (MagnaTagATune's lists begin with a clip's
    number). Where the first line names a column `path`, `file`, ..., that column has the names (MTG-Jamendo's). Raises
    ConfigError for a list that is absent, empty or not text.
    """
    if pattern.count(PLACE) != 1:
        raise ConfigError(
            f"evaluate.split: {pattern!r} must hold {PLACE} once, where train, valid and test stand in the lists' "
            "names, as in lists/{}_filtered.txt"
        )
    return SplitLists(pattern, tuple(_find(pattern, part) for part in PARTS))


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
    header = [field.strip().lower() for field in rows[0]] if rows else []
    column = next((header.index(name) for name in URI_COLUMNS if name in header), None)
    if column is None:
        values = [row[-1] for row in rows if row]
    else:
        values = [row[column] for row in rows[1:] if len(row) > column]
    names = tuple(filter(None, (value.strip() for value in values)))
    if not names:
        raise ConfigError(f"{uri}: names no files; a list has one name a line")
    return names
