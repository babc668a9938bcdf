"""Labels of tracks from a table that somebody made: which column names the file, which are labels, which groups.

Detection is conservative: well-known names, checked against the values. What it missed can be configured.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from infra.config import LabelConfig
from infra.errors import ConfigError
from infra.source import is_audio

log = logging.getLogger(__name__)

SINGLE_NAMES = (
    *("genre", "top_genre", "subgenre", "style", "substyle", "label", "class", "category"),
    *("mood", "emotion", "mode", "tempo", "language", "instrument", "dance", "rhythm", "era", "decade"),
)
GROUP_NAMES = (
    *("group", "artist", "artist_id", "artist_name", "performer", "composer", "band", "album", "album_id"),
    *("source", "recording", "recording_id", "song", "song_id", "track", "track_id"),
)
VALUE_NAMES = ("valence", "arousal", "valence_mean", "arousal_mean")
SEPARATOR = "|"
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

    def __str__(self) -> str:
        parts = {"key": self.key, "single": ", ".join(self.single), "multi": ", ".join(self.multi)}
        if self.value:
            parts["value"] = ", ".join(self.value)
        return "; ".join(f"{name} {value or '-'}" for name, value in {**parts, "group": self.group}.items())


class Names:
    """Finds a track by its id, by its file name, or by its file name without extension if that is unique.

    The name asked for may end as another kind of audio: GTZAN's lists say .wav where a copy has .au.
    """

    def __init__(self, track_ids: Sequence[str]) -> None:
        self._exact = {name: row for row, name in enumerate(track_ids)}
        self._loose: dict[str, int | None] = {}
        for row, name in enumerate(track_ids):
            base = name.rpartition("/")[2]
            for short in {base, base.rpartition(".")[0]}:
                self._loose[short] = None if short in self._loose else row

    def exact(self, value: str) -> bool:
        """Whether the value is a track id as it is."""
        return _path(value) in self._exact

    def find(self, value: str | None) -> int | None:
        """The row of the track in the track list, or None."""
        if not value:
            return None
        path = _path(value)
        if path in self._exact:
            return self._exact[path]
        base = path.rpartition("/")[2]
        if base not in self._loose and is_audio(base):
            base = base.rpartition(".")[0]
        return self._loose.get(base)


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
        for column in filter(None, asked):
            if column not in self.values:
                raise ConfigError(f"{self.name}: no column {column!r}; it has {', '.join(self.values)}")
        key = config.key or self._detect_key(names)
        taken = {key}
        group = config.group or self._detect_group(taken)
        multi = config.multi if config.multi is not None else self._detect_multi(taken, config.top)
        taken |= {*multi, *filter(None, [group])}
        single = config.single if config.single is not None else self._detect_single(taken)
        value = config.value if config.value is not None else self._detect_value(taken)
        return Columns(key, single, multi, group, value)

    def rows(self, key: str, names: Names) -> dict[int, int]:
        """Row of the track list -> row of this file. Rows without a track are counted and told.

        Raises ConfigError if no row has a track, or two have the same.
        """
        found = [names.find(value) for value in self.values[key]]
        unknown = [value for value, row in zip(self.values[key], found, strict=True) if row is None]
        if unknown:
            words = f"{len(unknown)} of {self.n_rows} rows name no track of the corpus, the first is {unknown[0]!r}"
            if len(unknown) == self.n_rows:
                raise ConfigError(f"{self.name}: {words} (column {key}); set labels.key for another column")
            log.warning("labels: %s: %s", self.name, words)
        rows = {row: index for index, row in enumerate(found) if row is not None}
        if len(rows) < len(found) - len(unknown):
            twice = next(
                value
                for index, value in enumerate(self.values[key])
                if found[index] is not None and rows[found[index]] != index  # pyright: ignore[reportArgumentType]
            )
            raise ConfigError(f"{self.name}: more than one row names the track {twice!r} (column {key})")
        return rows

    def _detect_key(self, names: Names) -> str:
        def matches(column: str) -> tuple[int, int]:
            values = [value for value in self.values[column] if isinstance(value, str)]
            found = {row for row in map(names.find, values) if row is not None}
            return len(found), sum(map(names.exact, values))

        best = max(self.values, key=matches, default=None)
        if best is None or not matches(best)[0]:
            first = next(iter(self.values.values()), [None])[:1]
            raise ConfigError(
                f"{self.name}: {self.n_rows} of {self.n_rows} rows name no track of the corpus in any column, "
                f"the first row begins {first}; set labels.key if a column names the files"
            )
        return best

    def _detect_single(self, taken: set[str]) -> tuple[str, ...]:
        return tuple(
            column
            for column, values in self.values.items()
            if column.lower() in SINGLE_NAMES and column not in taken and _are_labels(values)
        )

    def _detect_multi(self, taken: set[str], top: int | None) -> tuple[str, ...]:
        return tuple(
            column
            for column, values in self.values.items()
            if column not in taken and any(isinstance(value, list) or _has_separator(value) for value in values)
            and _are_labels([label for value in self.tags(column, top) for label in value or ()])
        )  # fmt: skip

    def _detect_value(self, taken: set[str]) -> tuple[str, ...]:
        return tuple(
            column
            for column, values in self.values.items()
            if column.lower() in VALUE_NAMES and column not in taken and _are_numbers(filter(None, values))
        )

    def tags(self, column: str, top: int | None) -> list[list[str] | None]:
        """The labels of each row, None where it has none; the `top` most frequent ones.

        Of a column of lists with too many labels the 50 most frequent are kept without being asked.
        """
        tags = [split(value) or ([] if isinstance(value, list) else None) for value in self.values[column]]
        if top is None and any(isinstance(value, list) for value in self.values[column]):
            distinct = {label for labels in tags for label in labels or ()}
            top = KEPT_LABELS if len(distinct) > MAX_LABELS else None
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
    tracks: pa.Table, file: LabelFile, columns: Columns, top: int | None = None
) -> tuple[pa.Table, int]:
    """The track list with `label_`, `tags_`, `value_` and `group` columns, and how many tracks have a row.

    A track without one has nulls. Of tags the file's `top` most frequent are kept.
    """
    track_ids = tracks["track_id"].to_pylist()
    rows = file.rows(columns.key, Names(track_ids))
    places = [rows.get(row) for row in range(len(track_ids))]

    def lay(column: str) -> Values:
        return [None if place is None else file.values[column][place] for place in places]

    for column in columns.single:
        tracks = tracks.append_column(f"label_{column}", pa.array(map(_joined, lay(column)), pa.string()))
    for column in columns.multi:
        all_tags = file.tags(column, top)
        tags = [None if place is None else all_tags[place] for place in places]
        tracks = tracks.append_column(f"tags_{column}", pa.array(tags, pa.list_(pa.string())))
    for column in columns.value:
        numbers = file.numbers(column)
        laid = [None if place is None else numbers[place] for place in places]
        tracks = tracks.append_column(f"value_{column}", pa.array(laid, pa.float64()))
    groups = map(_joined, lay(columns.group)) if columns.group else [None] * len(places)
    return tracks.append_column("group", pa.array(groups, pa.string())), len(rows)


def most_frequent(tags: Sequence[list[str] | None], top: int | None) -> list[list[str] | None]:
    """The same with the `top` labels that most tracks have, of equals those first in the alphabet; all for None.

    A track that had others alone keeps an empty list: none of the labels applies to it.
    """
    if top is None:
        return list(tags)
    counts = Counter(label for labels in tags for label in labels or ())
    kept = set(sorted(counts, key=lambda label: (-counts[label], label))[:top])
    return [None if labels is None else [label for label in labels if label in kept] for labels in tags]


def split(value: str | list[str] | None) -> list[str]:
    """The labels of a multi-label value, each once, in order."""
    parts = value if isinstance(value, list) else (value or "").split(SEPARATOR)
    return list(dict.fromkeys(filter(None, (part.strip() for part in parts))))


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


def _has_separator(value: Any) -> bool:
    return isinstance(value, str) and SEPARATOR in value


def _clean(value: Any) -> Any:
    if isinstance(value, list):
        return [str(item) for item in value if item is not None]
    return None if value is None else str(value).strip() or None


def _joined(value: str | list[str] | None) -> str | None:
    return SEPARATOR.join(value) if isinstance(value, list) else value


def _path(value: str) -> str:
    return value.replace("\\", "/").removeprefix("./")


def metadata(music: str, labels: LabelConfig, columns: Columns | None) -> Mapping[str, Any]:
    """What the track list says about itself."""
    parts: dict[str, Any] = {"single": [], "multi": [], "group": None}
    if columns:
        parts = {"single": list(columns.single), "multi": list(columns.multi), "group": columns.group}
        parts |= {"value": list(columns.value)} if columns.value else {}
    if labels.folder:
        parts["single"].append(labels.folder)
    return {"music": music, "labels": labels.file, **parts}
