"""Which column of somebody's table names the tracks: the one that does, not one that happens to look like names.

Where files are called by number, row numbers, years, durations and codes look like names too. A column is trusted
with bare numbers only if it is called as such columns are; R's and pandas' row numbers never are.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from infra.datasets.names import Matched, Names
from infra.errors import ConfigError

KEY_NAMES = (  # without case, blanks, dots and underscores; the better ones first
    ("path", "filepath", "audiopath", "mp3path", "wavpath", "relpath", "uri", "url", "audiouri"),
    ("file", "filename", "fname", "audiofile", "audiofilename", "mp3", "wav", "audio", "clip", "clipname"),
    ("trackid", "songid", "clipid", "audioid", "fileid", "musicid", "recordingid", "sampleid", "excerptid"),
    ("id", "track", "song", "itemid", "tid", "recording", "sample", "excerpt", "filenumber", "songnumber", "name"),
)  # fmt: skip
_UNKNOWN, _NAMELESS = len(KEY_NAMES), len(KEY_NAMES) + 1
_ROW_NUMBERS = re.compile(
    r"|unnamed:? ?\d+([._]\d+)*|\.\.\.\d+|x|x\.\d+|v1|index|level_0|row(\.?_?(names?|id|num(ber)?))?|#"
)
_PLAUSIBLE = 0.5  # of the names that the best column has


@dataclass(frozen=True)
class Candidate:
    """A column and the tracks its values name. `rank` is the better the lower; `numbers`: nothing but numbers.

    `n_names` are the different values that fit a track, be it one alone or several.
    """

    column: str
    rank: int
    numbers: bool
    matched: Matched
    n_names: int
    n_exact: int

    @property
    def n_tracks(self) -> int:
        """Tracks named."""
        return len(set(self.matched.rows) - {None})

    @property
    def n_rows(self) -> int:
        """Rows that name a track."""
        return sum(row is not None for row in self.matched.rows)

    def __str__(self) -> str:
        return f"{self.column or 'without a name'} ({self.n_tracks} tracks by {self.n_rows} rows)"


def find_key(
    table: str, columns: Mapping[str, Sequence[object]], names: Names, remedy: str = "set labels.key"
) -> Candidate:
    """The column whose values name the tracks. Raises ConfigError where none does, or it is not clear which.

    Of the columns with at least half as many names of tracks as the best one, that with the best known name; a column
    without a name comes last. Columns of equally good names decide by their number of tracks, if no row is disputed.
    """
    fit = [candidate for column in columns if (candidate := _candidate(column, columns[column], names))]
    trusted = [one for one in fit if one.rank < _UNKNOWN or not one.numbers]
    if not trusted:
        raise ConfigError(_nothing(table, columns, fit, remedy))
    most = max(candidate.n_names for candidate in trusted)
    plausible = [candidate for candidate in trusted if candidate.n_names >= _PLAUSIBLE * most]
    best = min(plausible, key=lambda one: (one.rank, -one.n_tracks, -one.n_exact))
    if not best.n_rows:
        raise ConfigError(f"{table}: {'; '.join(best.matched.told('rows'))} (column {best.column}); {remedy}")
    rivals = [
        one
        for one in plausible
        if one is not best
        and (one.rank == best.rank or best.rank >= _UNKNOWN or (best.numbers and not one.numbers))
        and _differ(one, best)
    ]
    if rivals:
        raise ConfigError(
            f"{table}: more than one column may name the files, and they disagree: "
            f"{_list([best, *rivals])}; {remedy}"
        )
    return best


def is_known(column: str) -> bool:
    """Whether columns of that name are known to name tracks."""
    return _rank(column) < _UNKNOWN


def best_named(columns: Sequence[str]) -> str | None:
    """The column whose name most surely says that it names tracks, the first of equals; None where none does."""
    return min(filter(is_known, columns), key=_rank, default=None)


def _candidate(column: str, values: Sequence[object], names: Names) -> Candidate | None:
    texts = [value if isinstance(value, str) else None for value in values]
    known = [text for text in texts if text]
    if not known or _has_row_numbers(column, known):
        return None
    matched = names.match(texts)
    n_names = len(set(known) - set(matched.unknown))
    if not n_names:
        return None
    exact = sum(map(names.exact, known))
    return Candidate(column, _rank(column), all(map(_is_number, known)), matched, n_names, exact)


def _rank(column: str) -> int:
    plain = re.sub(r"[\s._-]+", "", column.lower())
    found = next((rank for rank, known in enumerate(KEY_NAMES) if plain in known), _UNKNOWN)
    return _NAMELESS if found == _UNKNOWN and _ROW_NUMBERS.fullmatch(column.lower()) else found


def _has_row_numbers(column: str, values: Sequence[object]) -> bool:
    """Row numbers: all numbers below no name or one that R and pandas make up; 1, 2, ... or 0, 1, ... below others
    that are not known to name tracks.
    """
    rank = _rank(column)
    if rank < _UNKNOWN or not all(isinstance(value, str) and _is_number(value) for value in values):
        return False
    starts = [[str(row + first) for row in range(len(values))] for first in (0, 1)]
    return rank == _NAMELESS or list(values) in starts


def _is_number(text: str) -> bool:
    """Bare numbers as programs write them: 12, 12.0; not 0012, which somebody chose as a name."""
    return re.fullmatch(r"-?(0|[1-9]\d*)(\.\d+)?", text) is not None


def _differ(one: Candidate, other: Candidate) -> bool:
    """Whether two columns give a track different rows."""
    rows, others = _first_rows(one), _first_rows(other)
    return any(others.get(track, row) != row for track, row in rows.items())


def _first_rows(candidate: Candidate) -> dict[int, int]:
    """Track -> the first row that names it."""
    rows: dict[int, int] = {}
    for row, track in enumerate(candidate.matched.rows):
        if track is not None:
            rows.setdefault(track, row)
    return rows


def _list(candidates: Sequence[Candidate]) -> str:
    return ", ".join(map(str, candidates))


def _nothing(
    table: str, columns: Mapping[str, Sequence[object]], fit: Sequence[Candidate], remedy: str
) -> str:
    if fit:
        return (
            f"{table}: no column that is known to name files does; bare numbers of {_list(fit)} would fit; "
            f"if that names the files, {remedy}"
        )
    n_rows = len(next(iter(columns.values()), ()))
    first = [values[0] if values else None for values in columns.values()][:1]
    counts = [
        column or "without a name" for column, values in columns.items() if _has_row_numbers(column, values)
    ]
    skipped = f" (column {counts[0]} holds row numbers)" if counts else ""
    return (
        f"{table}: {n_rows} of {n_rows} rows name no track of the corpus in any column{skipped}, "
        f"the first row begins {first}; if a column names the files, {remedy}"
    )
