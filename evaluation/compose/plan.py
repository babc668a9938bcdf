"""Which tracks a corpus has: style, composer and file format of each, and what its label row says."""

from dataclasses import dataclass

from evaluation.compose.writing.composer import Composer, composer, composers_for, style_number
from evaluation.compose.writing.score import Song, generator, sub_seed
from evaluation.compose.writing.style import Style
from evaluation.compose.writing.styles import STYLES
from evaluation.compose.writing.theory import NAMES
from evaluation.compose.writing.writer import tempo_band, write

FORMATS = ("wav", "flac", "ogg", "mp3")
RATES = (22050, 44100, 48000)
CHANNELS = (1, 2)
COLUMNS = ("file", "style", "instruments", "mode", "tempo", "group", "bpm", "key")


@dataclass(frozen=True)
class Track:
    """One file to be: everything that its sound and its labels follow from."""

    seed: int
    number: int
    style: Style
    artist: Composer
    extension: str
    rate: int
    channels: int

    @property
    def file(self) -> str:
        """Path inside the corpus."""
        return f"{self.style.name}/{self.number:04d}_{self.artist.name}.{self.extension}"

    def song(self) -> Song:
        """The track as it is written."""
        return write(self.style, self.artist, generator(self.seed, self.number, "score"))


def plan(tracks: int, seed: int) -> tuple[Track, ...]:
    """The first `tracks` tracks of a seed's corpus."""
    composers = composers_for(tracks, len(STYLES))
    return tuple(track(seed, number, composers) for number in range(tracks))


def track(seed: int, number: int, composers: int) -> Track:
    """One track. Formats, rates and channels take turns within each style, so none of them gives a style away."""
    style = style_number(number, len(STYLES), composers)
    turn = number // len(STYLES) + sub_seed(seed, "formats", style) % 24
    return Track(
        seed,
        number,
        STYLES[style],
        composer(seed, number % composers),
        extension=FORMATS[turn % 4],
        rate=RATES[turn % 3],
        channels=CHANNELS[turn // 4 % 2],
    )


def labels(planned: Track, song: Song) -> dict[str, str]:
    """The row of the label file: values of COLUMNS."""
    row = (
        planned.file,
        song.style,
        "|".join(song.instruments),
        song.mode,
        tempo_band(song.bpm),
        planned.artist.name,
        f"{song.bpm:.1f}",
        NAMES[song.key],
    )
    return dict(zip(COLUMNS, row, strict=True))
