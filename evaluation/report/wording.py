"""How things are said on the pages: labels, components, songs, times and shares as people write them."""

from evaluation.report.records import Song


def said(label: str) -> str:
    """A label as people say it: bossa_nova is bossa nova."""
    return label.replace("_", " ").strip() or label


def listed(words: list[str]) -> str:
    """a, b and c."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def song_title(song: Song | str) -> str:
    """The last part of a song's name, which is a path."""
    return (song if isinstance(song, str) else song.name).rpartition("/")[2]


def folder_of(name: str) -> str:
    """What is before the last part of a song's name, "" where there is nothing."""
    return name.rpartition("/")[0]


def clock(seconds: float, tenths: bool = False) -> str:
    """Seconds as 1:05, or 1:05.3."""
    return (
        f"{int(seconds) // 60}:{seconds % 60:04.1f}"
        if tenths
        else f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
    )


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:,.1f} h"


def percent(share: float) -> str:
    """A share as people write it: 12 %, 3.4 %, under 0.1 %."""
    if share >= 0.1:
        return f"{100 * share:.0f}\N{NO-BREAK SPACE}%"
    return (
        f"{100 * share:.1f}\N{NO-BREAK SPACE}%"
        if share >= 0.001 or share <= 0
        else "under 0.1\N{NO-BREAK SPACE}%"
    )


def thousands(number: int) -> str:
    """A count as people write it: 12,345."""
    return f"{number:,}"
