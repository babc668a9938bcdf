"""Which track a name in somebody's table means: one path is the end of the other, whole folders compared.

Tables say absolute paths, addresses, backslashes, folders that the corpus lacks or the other way round, no
extension or that of another kind of audio. The same name comes first; what fits more than one track is nobody's.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote

from infra.source import is_media_extension

LOW = "low"  # MTG-Jamendo's audio-low has 48/948.low.mp3 for 48/948.mp3
SAME = -1  # the name is the track's id, character by character
_FEW = 8  # tracks of one name that are compared one by one
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")

Fit = tuple[int, int, bool]  # track; how the file names differ, from 0; whether the folders are the same too


@dataclass(frozen=True)
class Matched:
    """The track of each name, None where it has none, and why names have none.

    `unknown` fit no track, `unclear` fit several (the name, and two of them), `rivals` want a track that another
    name wants as well (the name, the other name). Every name is in a list once, in order.
    """

    rows: list[int | None]
    unknown: list[str | None] = field(default_factory=list)
    unclear: list[tuple[str, str, str]] = field(default_factory=list)
    rivals: list[tuple[str, str]] = field(default_factory=list)
    n_unknown: int = 0
    n_unclear: int = 0
    n_rivals: int = 0

    def told(self, what: str) -> list[str]:
        """What was lost, a phrase a reason; `what` are the names, as in `rows`."""
        n, phrases = len(self.rows), []
        if self.n_unknown:
            first = f"the first is {self.unknown[0]!r}"
            phrases.append(f"{self.n_unknown} of {n} {what} name no track of the corpus, {first}")
        if self.n_unclear:
            name, one, other = self.unclear[0]
            fits = f"the first is {name!r}, which may be {one!r} or {other!r}"
            phrases.append(f"{self.n_unclear} of {n} {what} fit more than one track and are left out, {fits}")
        if self.n_rivals:
            name, other = self.rivals[0]
            first = f"the first is {name!r}, beside {other!r}"
            phrases.append(
                f"{self.n_rivals} of {n} {what} name a track that another one names as well or better "
                f"and are left out, {first}"
            )
        return phrases


class Names:
    """Finds tracks by name.

    A name means a track if one of the two paths is the end of the other, folder by folder. The last parts, the file
    names, are the same, or differ (from better to worse) in an extension that one lacks, in the kind of audio, or in
    the `.low` of MTG-Jamendo's small files. Backslashes, `./`, `file://` and other addresses, and Unicode's composed
    and decomposed letters make no difference. The best of what fits is taken where it is one track: the same whole
    path before a path with other folders, and no track where the one has the better file name, the other the path.

    Memory: a dictionary entry for each id and for each file name; time: the ids and the folders in a name.
    """

    def __init__(self, track_ids: Sequence[str], folder: str = "") -> None:
        """`folder`: what stands before every id in the address of its file, if anything."""
        self._ids = track_ids
        self._folder = folder
        self._exact = {name: row for row, name in enumerate(track_ids)}
        self._named: dict[str, int | list[int] | _Node] = {}
        for row, name in enumerate(track_ids):
            key = _stem(_split(name)[1])
            _append(self._named, key, row)

    def exact(self, value: str) -> bool:
        """Whether the value is a track id as it is."""
        return value in self._exact

    def find(self, value: str | None) -> int | None:
        """The row of the track in the track list, or None."""
        fits = self._fits(value)
        return fits[0][0] if len(fits) == 1 else None

    def match(self, values: Sequence[str | None]) -> Matched:
        """The tracks of all names of a table together: two names of one track are rivals, unless one fits better.

        A name that comes twice is one name, with one track.
        """
        fits: dict[str | None, list[Fit]] = {value: self._fits(value) for value in values}
        claims: dict[int, list[str]] = {}
        for value, found in fits.items():
            if len(found) == 1 and value:
                claims.setdefault(found[0][0], []).append(value)
        lost: dict[str, str] = {}
        for names in claims.values():
            if len(names) > 1:
                lost.update(_losers(names, fits))
        rows = [
            fits[value][0][0] if len(fits[value]) == 1 and value not in lost else None for value in values
        ]
        unknown = [value for value in values if not fits[value]]
        unclear = [value for value in values if value and len(fits[value]) > 1]
        rivals = [value for value in values if value in lost]
        return Matched(
            rows,
            list(dict.fromkeys(unknown)),
            [
                (value, self._ids[fits[value][0][0]], self._ids[fits[value][1][0]])
                for value in dict.fromkeys(unclear)
            ],
            [(value, lost[value]) for value in dict.fromkeys(rivals) if value],
            *map(len, (unknown, unclear, rivals)),
        )

    def _fits(self, value: str | None) -> list[Fit]:
        """The track alone, nothing, or two or more that cannot be told apart."""
        if not value:
            return []
        row = self._exact.get(value)
        if row is None and self._folder and value.startswith(self._folder):
            row = self._exact.get(value[len(self._folder) :])
        if row is not None:
            return [(row, SAME, True)]
        folders, base = _split(value)
        if not base:
            return []
        group = _opened(self._named, _stem(base), 0, self._ids)
        return _best(_candidates(group, folders, base, self._ids))


def same_end(one: str, other: str) -> bool:
    """Whether one of two names is the end of the other, in the sense of `Names`."""
    (folders, base), (other_folders, other_base) = _split(one), _split(other)
    return _difference(base, other_base) is not None and _is_end(folders, other_folders)


class _Node:
    """Tracks of one file name whose last folders are the same; made where they are many, when first asked for."""

    def __init__(self, rows: Iterable[int], depth: int, ids: Sequence[str]) -> None:
        self.ended: list[int] = []
        self.deeper: dict[str, int | list[int] | _Node] = {}
        self.examples: dict[
            str, list[int]
        ] = {}  # two tracks of each file name are enough to know it is not one
        for row in rows:
            folders, base = _split(ids[row])
            some = self.examples.setdefault(base, [])
            if len(some) < 2:
                some.append(row)
            if len(folders) == depth:
                self.ended.append(row)
            else:
                _append(self.deeper, folders[-1 - depth], row)


def _candidates(
    group: "int | list[int] | _Node | None", folders: list[str], base: str, ids: Sequence[str]
) -> list[Fit]:
    """What may be meant; of many tracks that cannot be told apart some, two at least."""
    found: list[Fit] = []
    for depth in range(len(folders) + 1):
        if not isinstance(group, _Node):
            break
        found += _compared(group.ended, folders, base, ids)
        if depth == len(folders):
            some = (row for rows in group.examples.values() for row in rows)
            return list(dict.fromkeys([*found, *_compared(some, folders, base, ids)]))
        group = _opened(group.deeper, folders[-1 - depth], depth + 1, ids)
    if group is None or isinstance(group, _Node):
        return found
    return found + _compared([group] if isinstance(group, int) else group, folders, base, ids)


def _opened(
    groups: "dict[str, int | list[int] | _Node]", key: str, depth: int, ids: Sequence[str]
) -> "int | list[int] | _Node | None":
    group = groups.get(key)
    if isinstance(group, list) and len(group) > _FEW:
        group = groups[key] = _Node(group, depth, ids)
    return group


def _compared(rows: Iterable[int], folders: list[str], base: str, ids: Sequence[str]) -> list[Fit]:
    found = []
    for row in rows:
        own, name = _split(ids[row])
        difference = _difference(base, name)
        if difference is not None and _is_end(folders, own):
            found.append((row, difference, len(own) == len(folders)))
    return found


def _best(fits: list[Fit]) -> list[Fit]:
    """The fit that is best in both respects; all of them where that is not one."""
    if len(fits) < 2:
        return fits
    closest = min(difference for _, difference, _ in fits)
    has_whole = any(whole for *_, whole in fits)
    best = [fit for fit in fits if fit[1] == closest and (fit[2] or not has_whole)]
    return best if len(best) == 1 else best + [fit for fit in fits if fit not in best]


def _losers(names: list[str], fits: dict[str | None, list[Fit]]) -> dict[str, str]:
    """Names that want the same track -> another name that keeps each from it."""
    best = _best([(place, *fits[name][0][1:]) for place, name in enumerate(names)])
    if len(best) == 1:
        winner = names[best[0][0]]
        return {name: winner for name in names if name != winner}
    return {name: names[1] if name == names[0] else names[0] for name in names}


def _append(groups: "dict[str, int | list[int] | _Node]", key: str, row: int) -> None:
    group = groups.setdefault(key, row)
    if isinstance(group, list):
        group.append(row)
    elif group != row:
        groups[key] = [group, row]  # pyright: ignore[reportArgumentType]


def _split(name: str) -> tuple[list[str], str]:
    """The folders and the file name of a path as people write it."""
    address = _ADDRESS.match(name)
    if address:
        name = name[address.end() :]
        if address[1].lower() in ("http", "https"):
            name = name.partition("?")[0].partition("#")[0]
        if address[1].lower() in ("http", "https", "file"):
            name = unquote(name)
    if not name.isascii():
        name = unicodedata.normalize("NFC", name)
    parts: list[str] = []
    for part in name.replace("\\", "/").split("/"):
        if part == "..":
            del parts[-1:]
        elif part and part != ".":
            parts.append(part)
    base = parts.pop() if parts else ""
    return parts, base


def _is_end(folders: list[str], others: list[str]) -> bool:
    shared = min(len(folders), len(others))
    return not shared or folders[-shared:] == others[-shared:]


def _bare(base: str) -> str | None:
    """The file name without its extension, if that is one of audio."""
    stem, _, extension = base.rpartition(".")
    return stem if stem and is_media_extension(extension) else None


def _stem(base: str) -> str:
    """What is left of a file name when no extension of audio is: names that may be the same have it in common."""
    while True:
        stem, _, extension = base.rpartition(".")
        if not stem or not (extension == LOW or is_media_extension(extension)):
            return base
        base = stem


def _difference(base: str, other: str) -> int | None:
    """How two file names differ: 0 not at all, 1 one lacks the extension, 2 the kind of audio, 3 `.low`."""
    if base == other:
        return 0
    bare, other_bare = _bare(base), _bare(other)
    if base == other_bare or other == bare:
        return 1
    if bare is not None and bare == other_bare:
        return 2
    shorter, longer = sorted((bare or base, other_bare or other), key=len)
    return 3 if longer == f"{shorter}.{LOW}" else None
