"""A published split of a corpus: three lists of file names, as GTZAN's and MagnaTagATune's splits are handed around."""

from collections.abc import Sequence
from dataclasses import dataclass

from evaluation.splits import Parts
from infra.errors import ConfigError
from infra.storage import read_uri
from jobs.labels import Names

PLACE = "{}"


@dataclass(frozen=True)
class SplitLists:
    """The names on each list, in order; `pattern` is where they came from."""

    pattern: str
    train: tuple[str, ...]
    valid: tuple[str, ...]
    test: tuple[str, ...]

    def of(self, track_ids: Sequence[str]) -> tuple[Parts, str | None]:
        """The lists as track ids, and what to tell people if names have no track.

        Raises ConfigError where a list names no track at all, or two lists name the same one.
        """
        names = Names(track_ids)
        found: dict[str, set[str]] = {}
        owner: dict[str, str] = {}
        missing: list[str] = []
        for part in ("train", "valid", "test"):
            written: tuple[str, ...] = getattr(self, part)
            rows = [names.find(name) for name in written]
            missing += [name for name, row in zip(written, rows, strict=True) if row is None]
            found[part] = {track_ids[row] for row in rows if row is not None}
            if not found[part]:
                raise ConfigError(
                    f"{self.pattern.replace(PLACE, part)}: none of its {len(written)} names is a track of the "
                    f"corpus, the first is {written[0]!r}"
                )
            for track in sorted(found[part]):
                if owner.setdefault(track, part) != part:
                    raise ConfigError(
                        f"{self.pattern.replace(PLACE, part)}: {track!r} is on the {owner[track]} list too; "
                        "a track may be on one list only"
                    )
        parts = Parts(**{part: frozenset(tracks) for part, tracks in found.items()})
        if not missing:
            return parts, None
        return parts, f"{len(missing)} names of the split lists have no track, the first is {missing[0]!r}"


def read_split_lists(pattern: str) -> SplitLists:
    """The lists at a path or s3:// address in which {} stands for train, valid and test; a name a line.

    Of a line with tabs the last field is the name (MagnaTagATune's lists begin with a clip's number). Raises
    ConfigError for a list that is absent, empty or not text.
    """
    if pattern.count(PLACE) != 1:
        raise ConfigError(
            f"evaluate.split: {pattern!r} must hold {PLACE} once, where train, valid and test stand in the lists' "
            "names, as in lists/{}_filtered.txt"
        )
    return SplitLists(pattern, *(_read(pattern.replace(PLACE, part)) for part in ("train", "valid", "test")))


def _read(uri: str) -> tuple[str, ...]:
    try:
        lines = read_uri(uri).decode("utf-8-sig").splitlines()
    except FileNotFoundError:
        raise ConfigError(f"{uri}: no such file; evaluate.split names three lists") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{uri}: not a text file of names, one a line") from None
    names = tuple(filter(None, (line.rpartition("\t")[2].strip() for line in lines)))
    if not names:
        raise ConfigError(f"{uri}: names no files; a list has one name a line")
    return names
