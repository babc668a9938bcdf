"""Labels of tracks from a table that somebody made: which column names the file, which are labels, which groups.

Detection is conservative: well-known names, checked against the values. What it missed can be configured.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from infra.config import LabelConfig
from infra.datasets.keys import find_key
from infra.datasets.names import Names
from infra.datasets.separators import (
    BRACKETS,
    PIPE,
    is_label_name,
    is_plural,
    separator_of,
    split,
    unlisted_commas,
)
from infra.errors import ConfigError
from infra.root.schemas import GROUP, MULTI, NUMBER, SINGLE, TRACK_ID, LabelColumn

log = logging.getLogger(__name__)

SINGLE_NAMES = (
    *("genre", "top_genre", "subgenre", "style", "substyle", "label", "class", "category"),
    *(
        "mood",
        "emotion",
        "mode",
        "tempo",
        "language",
        "lang",
        "instrument",
        "dance",
        "rhythm",
        "era",
        "decade",
    ),
)
GROUP_NAMES = (
    *("group", "artist", "artist_id", "artist_name", "performer", "composer", "band", "album", "album_id"),
    *("source", "recording", "recording_id", "song", "song_id", "track", "track_id"),
)
VALUE_NAMES = ("valence", "arousal", "valence_mean", "arousal_mean")
MISSING = frozenset(("NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NULL", "null"))  # R's, pandas', SQL's
MAX_LABELS = 100
KEPT_LABELS = 50  # of more than that, as the paper does with MagnaTagATune's 188

Values = list[Any]


@dataclass(frozen=True)
class Columns:
    """The parts that the columns of a label file play."""

    key: str
    single: tuple[str, ...]
    multi: tuple[str, ...]
    group: str | None
    value: tuple[str, ...] = ()
    separators: Mapping[str, str] = field(
        default_factory=dict
    )  # of the columns `multi` that are not |-separated

    def __str__(self) -> str:
        key = self.key or "without a name"
        multi = [f"{name}{self._separated(name)}" for name in self.multi]
        parts = {"key": key, "single": ", ".join(self.single), "multi": ", ".join(multi)}
        if self.value:
            parts["value"] = ", ".join(self.value)
        return "; ".join(f"{name} {value or '-'}" for name, value in {**parts, "group": self.group}.items())

    def _separated(self, column: str) -> str:
        return f" (separated by {self.separators[column]})" if column in self.separators else ""


class LabelFile:
    """The columns of a label file as lists of stripped strings, or of lists of strings."""

    def __init__(self, name: str, table: pa.Table) -> None:
        self.name = name
        self.values: dict[str, Values] = {
            column.strip(): [_clean(value) for value in table[column].to_pylist()]
            for column in table.column_names
        }
        self.n_rows = table.num_rows

    def columns(self, config: LabelConfig, names: Names) -> Columns:
        """What is configured, and what is not is detected. Raises ConfigError for columns that are not there."""
        lists = (config.single, config.multi, config.value)
        asked = (config.key, config.group, *(name for names in lists for name in names or ()))
        for column in asked:
            if column is not None and column not in self.values:
                raise ConfigError(f"{self.name}: no column {column!r}; it has {', '.join(self.values)}")
        key = find_key(self.name, self.values, names).column if config.key is None else config.key
        taken = {key}
        group = config.group or self._detect_group(taken)
        separators = self._separators(config)
        multi = self._detect_multi(taken, separators, config.top) if config.multi is None else config.multi
        taken |= {*multi, *filter(None, [group])}
        single = config.single if config.single is not None else self._detect_single(taken)
        value = config.value if config.value is not None else self._detect_value(taken)
        special = {column: separators[column] for column in multi if separators.get(column, PIPE) != PIPE}
        found = Columns(key, single, multi, group, value, special)
        if config.multi is None and config.single is None:
            self._tell_unread(found)
        return found

    def rows(self, key: str, names: Names) -> dict[int, int]:
        """Row of the track list -> row of this file. Rows without a track of their own are counted and told.

        Raises ConfigError if no row has a track, or two say the very same name.
        """
        matched = names.match(self.values[key])
        found = matched.rows
        n_rows = sum(row is not None for row in found)
        told = "; ".join(matched.told("rows"))
        column = f"(column {key or 'without a name'})"
        if not n_rows:
            raise ConfigError(f"{self.name}: {told} {column}; set labels.key for another column")
        if told:
            log.warning("labels: %s: %s", self.name, told)
        rows = {row: index for index, row in enumerate(found) if row is not None}
        if len(rows) < n_rows:
            twice = next(
                value
                for value, row, index in zip(self.values[key], found, range(self.n_rows), strict=True)
                if row is not None and rows[row] != index
            )
            raise ConfigError(f"{self.name}: more than one row names the track {twice!r} {column}")
        return rows

    def _detect_single(self, taken: set[str]) -> tuple[str, ...]:
        return tuple(
            column
            for column, values in self.values.items()
            if column.lower() in SINGLE_NAMES and column not in taken and _are_labels(values)
        )

    def _separators(self, config: LabelConfig) -> dict[str, str]:
        """What separates labels, of each column that may be one of lists; where it is set, of those meant by it."""
        found: dict[str, str] = {}
        for column, values in self.values.items():
            asked = column in (config.multi or ())
            meant = asked or (config.multi is None and is_label_name(column))
            said = config.separator if meant else None
            separator = said or separator_of(column, values, asked) or PIPE
            if asked or is_plural(column) or any(_holds(value, separator) for value in values):
                found[column] = separator
        return found

    def _detect_multi(
        self, taken: set[str], separators: Mapping[str, str], top: int | None
    ) -> tuple[str, ...]:
        return tuple(
            column
            for column in self.values
            if column in separators and column not in taken and _are_labels(
                [label for value in self.tags(column, top, separators[column]) for label in value or ()]
            )
        )  # fmt: skip

    def _tell_unread(self, found: Columns) -> None:
        """Say which columns that are called as labels are were not read, or not split, and what would do it."""
        read = {*found.single, *found.multi, *found.value, found.key, found.group}
        for column, values in self.values.items():
            separator = unlisted_commas(column, values)
            whole = column not in found.multi or found.separators.get(column, PIPE) == PIPE
            if separator and whole:
                log.info(
                    "labels: %s: column %s holds %r in most rows, taken as part of the label; if it separates "
                    "labels, set 'labels.multi=[%s]' and \"labels.separator='%s'\"",
                    *(self.name, column, separator, column, separator),
                )
            elif column not in read and (is_label_name(column) or column.lower() in SINGLE_NAMES):
                log.info(
                    "labels: %s: column %s is not read: labels are 2 to %d words, each in two rows on average, it has "
                    "%d in %d; 'labels.single=[%s]' reads it",
                    *(self.name, column, MAX_LABELS, len(set(map(str, values)) - {"None"})),
                    *(len(values), column),
                )

    def _detect_value(self, taken: set[str]) -> tuple[str, ...]:
        return tuple(
            column
            for column, values in self.values.items()
            if column.lower() in VALUE_NAMES and column not in taken and _are_numbers(filter(None, values))
        )

    def tags(self, column: str, top: int | None, separator: str = PIPE) -> list[list[str] | None]:
        """The labels of each row, None where it has none; the `top` most frequent ones.

        Of a column with too many labels the 50 most frequent are kept without being asked.
        """
        tags = [
            split(value, separator) or ([] if isinstance(value, list) or separator == BRACKETS else None)
            for value in self.values[column]
        ]
        if top is None and _n_labels(tags) > MAX_LABELS:
            top = KEPT_LABELS
        return most_frequent(tags, top)

    def numbers(self, column: str) -> list[float | None]:
        """A column of numbers. Raises ConfigError for what is none."""
        try:
            return [None if value is None else float(value) for value in self.values[column]]
        except (ValueError, TypeError) as error:
            raise ConfigError(
                f"{self.name}: labels.value: column {column!r} must hold numbers ({error})"
            ) from None

    def _detect_group(self, taken: set[str]) -> str | None:
        lower = {column.lower(): column for column in self.values if column not in taken}
        candidates = [lower[name] for name in GROUP_NAMES if name in lower]
        return next((column for column in candidates if _are_groups(self.values[column])), None)


def attach(
    tracks: pa.Table, file: LabelFile, columns: Columns, top: int | None = None, names: Names | None = None
) -> tuple[pa.Table, int]:
    """The track list with `label_`, `tags_`, `value_` and `group` columns, and how many tracks have a row.

    A track without one has nulls. Of tags the file's `top` most frequent are kept.
    """
    track_ids = tracks[TRACK_ID].to_pylist()
    rows = file.rows(columns.key, names or Names(track_ids))
    places = [rows.get(row) for row in range(len(track_ids))]

    def lay(column: str) -> Values:
        return [None if place is None else file.values[column][place] for place in places]

    for column in columns.single:
        tracks = _with(tracks, LabelColumn(SINGLE, column), map(_joined, lay(column)))
    for column in columns.multi:
        separator = columns.separators.get(column, PIPE)
        all_tags = file.tags(column, top, separator)
        n_labels = _n_labels(split(value, separator) for value in file.values[column])
        if top is None and n_labels > MAX_LABELS:
            log.info(
                "labels: %s: the %d most frequent of %d labels of %s are kept; labels.top keeps another number",
                *(file.name, KEPT_LABELS, n_labels, column),
            )
        tags = [None if place is None else all_tags[place] for place in places]
        tracks = _with(tracks, LabelColumn(MULTI, column), tags)
    for column in columns.value:
        numbers = file.numbers(column)
        laid = [None if place is None else numbers[place] for place in places]
        tracks = _with(tracks, LabelColumn(NUMBER, column), laid)
    groups = map(_joined, lay(columns.group)) if columns.group else [None] * len(places)
    return tracks.append_column(GROUP, pa.array(groups, pa.string())), len(rows)


def _with(tracks: pa.Table, labels: LabelColumn, values: Iterable[Any]) -> pa.Table:
    return tracks.append_column(labels.column, labels.array(list(values)))


def most_frequent(tags: Sequence[list[str] | None], top: int | None) -> list[list[str] | None]:
    """The same with the `top` labels that most tracks have, of equals those first in the alphabet; all for None.

    A track that had others alone keeps an empty list: none of the labels applies to it.
    """
    if top is None:
        return list(tags)
    counts = Counter(label for labels in tags for label in labels or ())
    kept = set(sorted(counts, key=lambda label: (-counts[label], label))[:top])
    return [None if labels is None else [label for label in labels if label in kept] for labels in tags]


def _n_labels(tags: Iterable[list[str] | None]) -> int:
    return len({label for labels in tags for label in labels or ()})


def _are_labels(values: Iterable[str | None]) -> bool:
    """At least two words, few different ones, and each used twice on average."""
    known = [value for value in values if value]
    distinct = set(known)
    return 2 <= len(distinct) <= MAX_LABELS and len(known) >= 2 * len(distinct) and not _are_numbers(distinct)


def _are_groups(values: Iterable[str | None]) -> bool:
    """At least two groups, and some group with two members."""
    known = [value for value in values if value]
    return 2 <= len(set(known)) < len(known)


def _are_numbers(values: Iterable[Any]) -> bool:
    try:
        return bool([float(value) for value in values])
    except (ValueError, TypeError):
        return False


def _holds(value: Any, separator: str) -> bool:
    return isinstance(value, list) or (
        isinstance(value, str) and (separator == BRACKETS or separator in value)
    )


def _clean(value: Any) -> Any:
    if isinstance(value, list):
        return [str(item) for item in value if item is not None]
    text = "" if value is None else str(value).strip()
    return None if text in MISSING else text or None


def _joined(value: str | list[str] | None) -> str | None:
    return PIPE.join(value) if isinstance(value, list) else value


def metadata(music: str, labels: LabelConfig, columns: Columns | None) -> Mapping[str, Any]:
    """What the track list says about itself."""
    parts: dict[str, Any] = {"single": [], "multi": [], "group": None}
    if columns:
        parts = {"single": list(columns.single), "multi": list(columns.multi), "group": columns.group}
        parts |= {"value": list(columns.value)} if columns.value else {}
    if labels.folder:
        parts["single"].append(labels.folder)
    return {"music": music, "labels": labels.file, **parts}
