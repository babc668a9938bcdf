"""Which track a name in somebody's table means: one path is the end of the other, whole folders compared.

Tables say absolute paths, addresses, backslashes, folders that the corpus lacks or the other way round, no
extension or that of another kind of audio. The same name comes first; what fits more than one track is nobody's.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from infra.datasets.audio import MEDIA_EXTENSIONS

LOW = "low"  # MTG-Jamendo's audio-low has 48/948.low.mp3 for 48/948.mp3
SAME = -1  # the name is the track's id, character by character
_FEW = 8  # tracks of one name that are compared one by one
_ODD = re.compile(r"[^\x00-\x7f]|\\|//|(?:^|/)\.\.?(?:/|$)|^/|/$")  # what is not a plain path
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")

Fit = tuple[int, int, bool]  # track; how the file names differ, from 0; whether the folders are the same too


@dataclass(frozen=True)
class Matched:
    """The track of each name, None where it has none, and the names that have none, in order.

    `unknown` fit no track; `unclear` fit several, two of them are beside the name; `rivals` want a track that another
    name, which is beside them, wants as well. That one has it if it fits better, otherwise neither has.
    """

    rows: list[int | None]
    unknown: list[str | None]
    unclear: list[tuple[str, str, str]]
    rivals: list[tuple[str, str]]

    def told(self, what: str) -> list[str]:
        """What was lost, a phrase a reason; `what` are the names, as in `rows`."""
        if not self.unknown:
            return self.disputed(what)
        words = f"{len(self.unknown)} of {len(self.rows)} {what} name no track of the corpus"
        return [f"{words}, the first is {self.unknown[0]!r}", *self.disputed(what)]

    def disputed(self, what: str) -> list[str]:
        """The same without the names that fit no track."""
        phrases = []
        if self.unclear:
            name, one, other = self.unclear[0]
            phrases.append(
                f"{len(self.unclear)} of {len(self.rows)} {what} fit more than one track and are left out, "
                f"the first is {name!r}, which may be {one!r} or {other!r}"
            )
        if self.rivals:
            name, other = self.rivals[0]
            phrases.append(
                f"{len(self.rivals)} of {len(self.rows)} {what} want a track that another one fits as well or better "
                f"and are left out, the first is {name!r} beside {other!r}"
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
        fits: dict[str | None, list[Fit]] = {value: self._fits(value) for value in dict.fromkeys(values)}
        owner: dict[int, str] = {}
        shared: dict[int, list[str]] = {}
        for value, found in fits.items():
            if len(found) == 1 and value and owner.setdefault(found[0][0], value) is not value:
                track = found[0][0]
                shared.setdefault(track, [owner[track]]).append(value)
        lost: dict[str, str] = {}
        for names in shared.values():
            lost.update(_losers(names, fits))
        rows, unknown, unclear, rivals = [], [], [], []
        for value in values:
            found = fits[value]
            rows.append(found[0][0] if len(found) == 1 and value not in lost else None)
            if not found or not value:
                unknown.append(value)
            elif len(found) > 1:
                unclear.append((value, self._ids[found[0][0]], self._ids[found[1][0]]))
            elif value in lost:
                rivals.append((value, lost[value]))
        return Matched(rows, unknown, unclear, rivals)

    def _fits(self, value: str | None) -> list[Fit]:
        """The track alone, nothing, or two or more that cannot be told apart."""
        if not value:
            return []
        row = self._exact.get(value)
        if row is None and self._folder and value.startswith(self._folder):
            row = self._exact.get(value[len(self._folder) :])
        if row is not None:
            return [(row, SAME, True)]
        folder, base = _split(value)
        group = _opened(self._named, _stem(base), 0, self._ids) if base else None
        return _best(_candidates(group, folder, base, self._ids))


def same_end(one: str, other: str) -> bool:
    """Whether one of two names is the end of the other, in the sense of `Names`."""
    (folder, base), (other_folder, other_base) = _split(one), _split(other)
    return _difference(base, other_base) is not None and _is_end(folder, other_folder)


class _Node:
    """Tracks of one file name whose last folders are the same; made where they are many, when first asked for."""

    def __init__(self, rows: Iterable[int], depth: int, ids: Sequence[str]) -> None:
        self.ended: list[int] = []
        self.deeper: dict[str, int | list[int] | _Node] = {}
        self.examples: dict[
            str, list[int]
        ] = {}  # two tracks of each file name are enough to know it is not one
        for row in rows:
            folder, base = _split(ids[row])
            folders = folder.split("/") if folder else []
            some = self.examples.setdefault(base, [])
            if len(some) < 2:
                some.append(row)
            if len(folders) == depth:
                self.ended.append(row)
            else:
                _append(self.deeper, folders[-1 - depth], row)


def _candidates(
    group: "int | list[int] | _Node | None", folder: str, base: str, ids: Sequence[str]
) -> list[Fit]:
    """What may be meant; of many tracks that cannot be told apart some, two at least."""
    found: list[Fit] = []
    folders = folder.split("/") if folder and isinstance(group, _Node) else []
    for depth in range(len(folders) + 1):
        if not isinstance(group, _Node):
            break
        found += _compared(group.ended, folder, base, ids)
        if depth == len(folders):
            some = (row for rows in group.examples.values() for row in rows)
            return list(dict.fromkeys([*found, *_compared(some, folder, base, ids)]))
        group = _opened(group.deeper, folders[-1 - depth], depth + 1, ids)
    if group is None or isinstance(group, _Node):
        return found
    return found + _compared([group] if isinstance(group, int) else group, folder, base, ids)


def _opened(
    groups: "dict[str, int | list[int] | _Node]", key: str, depth: int, ids: Sequence[str]
) -> "int | list[int] | _Node | None":
    group = groups.get(key)
    if isinstance(group, list) and len(group) > _FEW:
        group = groups[key] = _Node(group, depth, ids)
    return group


def _compared(rows: Iterable[int], folder: str, base: str, ids: Sequence[str]) -> list[Fit]:
    found = []
    for row in rows:
        own, name = _split(ids[row])
        difference = _difference(base, name)
        if difference is not None and _is_end(folder, own):
            found.append((row, difference, folder == own))
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


def _split(name: str) -> tuple[str, str]:
    """The folder, with slashes between its parts alone, and the file name of a path as people write it."""
    if _ODD.search(name):
        name = _straight(name)
    folder, _, base = name.rpartition("/")
    return folder, base


def _straight(name: str) -> str:
    """A path without address, backslashes, steps in place or up, and in composed letters."""
    address = _ADDRESS.match(name)
    if address:
        name = name[address.end() :]
        if address[1].lower() in ("http", "https"):
            name = name.partition("?")[0].partition("#")[0]
        if address[1].lower() in ("http", "https", "file"):
            name = unquote(name)
    parts: list[str] = []
    for part in unicodedata.normalize("NFC", name).replace("\\", "/").split("/"):
        if part == "..":
            del parts[-1:]
        elif part and part != ".":
            parts.append(part)
    return "/".join(parts)


def _is_end(folder: str, other: str) -> bool:
    """Whether one of two folders ends with all of the other."""
    shorter, longer = (folder, other) if len(folder) < len(other) else (other, folder)
    return not shorter or shorter == longer or longer.endswith("/" + shorter)


def _bare(base: str) -> str | None:
    """The file name without its extension, if that is one of audio."""
    stem, _, extension = base.rpartition(".")
    return stem if stem and extension.lower() in MEDIA_EXTENSIONS else None


def _stem(base: str) -> str:
    """What is left of a file name when no extension of audio is: names that may be the same have it in common."""
    while True:
        stem, _, extension = base.rpartition(".")
        if not stem or not (extension == LOW or extension.lower() in MEDIA_EXTENSIONS):
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
