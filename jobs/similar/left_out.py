"""Which songs are no answer to "songs like it": the same recording, and others of the same group unless asked for."""

import pyarrow as pa
import pyarrow.compute as pc

from infra.root.schemas import GROUP, SAME_AS, TRACK_ID


class LeftOut:
    """Of the tracks of a list.

    Files of the same bytes are left out always, as `jobs.index` has found them; tracks of the same group, an artist or
    an album, where the list knows it and `same_group` does not keep them.
    """

    def __init__(self, tracks: pa.Table, same_group: bool) -> None:
        self._tracks = tracks
        self._by = [
            name
            for name in (SAME_AS, GROUP)
            if name in tracks.column_names and not (name == GROUP and same_group)
        ]

    def knows_group(self, track: str) -> bool:
        """Whether tracks of its group are left out."""
        return GROUP in self._by and self._value(track, GROUP) is not None

    def of(self, track: str) -> frozenset[str]:
        """The tracks that are left out where songs like this one are sought, itself too."""
        values = {name: self._value(track, name) for name in self._by}
        return frozenset({track}).union(
            *(
                self._where(name, value)[TRACK_ID].to_pylist()
                for name, value in values.items()
                if value is not None
            )
        )

    def _value(self, track: str, name: str) -> str | None:
        rows = self._where(TRACK_ID, track)
        return rows[name][0].as_py() if rows.num_rows else None

    def _where(self, name: str, value: str) -> pa.Table:
        return self._tracks.filter(pc.equal(self._tracks[name], value))  # pyright: ignore
