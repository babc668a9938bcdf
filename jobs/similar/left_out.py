"""Which songs are no answer to "songs like it": the same recording, and others of the same group unless asked for."""

from collections import defaultdict

import pyarrow as pa

from infra.root.schemas import GROUP, SAME_AS, TRACK_ID, groups_by_track


class LeftOut:
    """Of the tracks of a list.

    Files of the same bytes are left out always, as `jobs.index` has found them; tracks of the same group, an artist or
    an album, where the list knows it and `same_group` does not keep them.
    """

    def __init__(self, tracks: pa.Table, same_group: bool) -> None:
        ids = tracks[TRACK_ID].to_pylist()
        first = tracks[SAME_AS].to_pylist() if SAME_AS in tracks.column_names else [None] * len(ids)
        groups = [None] * len(ids) if same_group else groups_by_track(tracks).values()
        self._keys: dict[str, list[tuple[str, str]]] = {}
        self._members: dict[tuple[str, str], set[str]] = defaultdict(set)
        for track, *values in zip(ids, first, groups, strict=True):
            self._keys[track] = [
                (name, value) for name, value in zip((SAME_AS, GROUP), values, strict=True) if value
            ]
            for key in self._keys[track]:
                self._members[key].add(track)

    def knows_group(self, track: str) -> bool:
        """Whether tracks of its group are left out."""
        return any(name == GROUP for name, _ in self._keys.get(track, ()))

    def of(self, track: str) -> frozenset[str]:
        """The tracks that are left out where songs like this one are sought, itself too."""
        return frozenset({track}).union(*(self._members[key] for key in self._keys.get(track, ())))
