"""What the pages show, as plain records: no formatting here, no storage, no model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from evaluation.comparison.cells import Difference, Summary
from evaluation.interpretation.lift import Lift
from evaluation.neighbours.exact import Term


@dataclass(frozen=True)
class Epoch:
    """One pass of training: bound and held-out log-likelihood in nats per frame, components in use.

    is_model: the state after it is the model that the pages are about.
    """

    epoch: int
    bound: float
    heldout: float | None
    components: int
    is_model: bool = False


@dataclass(frozen=True)
class Trait:
    """How a component's mean differs from that of all the music: `deviation` in standard deviations of a frame.

    words: "very loud", "" where it is as usual.
    """

    name: str
    words: str
    deviation: float


@dataclass(frozen=True)
class Spectrum:
    """Levels in dB of mel bands (band,), centred at `hertz`: a component's mean and deviation, and the corpus' mean."""

    hertz: np.ndarray
    own: np.ndarray
    sd: np.ndarray
    corpus: np.ndarray


@dataclass(frozen=True)
class Chroma:
    """Energies of pitch classes (pitch class,), at least 0: a component's and the corpus'."""

    names: tuple[str, ...]
    own: np.ndarray
    corpus: np.ndarray


@dataclass(frozen=True)
class Dynamic:
    """How something moves within a component: mean and deviation of its frames, and of all frames of the corpus."""

    name: str
    unit: str
    mean: float
    sd: float
    corpus_mean: float
    corpus_sd: float


@dataclass(frozen=True)
class Sound:
    """What a component's Gaussian says of its sound, as far as the features tell; words: most telling first."""

    words: tuple[str, ...]
    traits: tuple[Trait, ...]
    spectrum: Spectrum | None = None
    chroma: Chroma | None = None
    dynamics: tuple[Dynamic, ...] = ()


@dataclass(frozen=True)
class Segment:
    """A place to listen to. mp3 is None where the audio could not be read, and `problem` says why.

    page: the number of the song's own page, if it has one.
    """

    song: str
    labels: tuple[str, ...]
    start_seconds: float
    stop_seconds: float
    share: float
    mp3: bytes | None
    problem: str = ""
    page: int | None = None


@dataclass(frozen=True)
class Component:
    """One component: its share of all frames, what it goes with, how it sounds, segments to play.

    name: that no other has: labels that hold, or how it sounds. lifts: every label with enough songs, highest lift
    first; labels: those that hold on other artists' songs. spread: songs by how much of
    it they have, as tally.SPREAD divides them. nearest: (component, Bhattacharyya distance in nats).
    place (x, y), in any unit, and hue in degrees are those of the map. songs: (number of a song's
    page, its share of the component).
    """

    number: int
    name: str
    share: float
    labels: tuple[Lift, ...]
    lifts: tuple[Lift, ...]
    sound: Sound
    spread: tuple[int, ...]
    segments: tuple[Segment, ...]
    nearest: tuple[tuple[int, float], ...]
    place: tuple[float, float]
    hue: float
    songs: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Similar:
    """A song like the one shown: cosine of their vectors, the largest terms of that, its page."""

    name: str
    labels: tuple[str, ...]
    cosine: float
    terms: tuple[Term, ...]
    page: int | None


@dataclass(frozen=True)
class Departure:
    """A component's part in how a song's vector differs from others': its share of the squared distance.

    words: how the song's frames differ there from the component, more than other songs' do: "louder".
    """

    component: int
    share: float
    words: tuple[str, ...]


@dataclass(frozen=True)
class Departures:
    """Which components move a song away from the mean of n_songs songs, those that do most first."""

    n_songs: int
    parts: tuple[Departure, ...]


@dataclass(frozen=True)
class Timeline:
    """Components over time. components (lane,); shares (step, lane) mean responsibilities, step_seconds long each.

    start_seconds: where in the track it begins; seconds: how long it is, the last step may be cut short. mp3 None:
    `problem` says why there is nothing to play.
    """

    components: tuple[int, ...]
    shares: np.ndarray
    step_seconds: float
    start_seconds: float
    seconds: float
    mp3: bytes | None
    problem: str = ""


@dataclass(frozen=True)
class Song:
    """A song of the sample. shares (component,): of the song; parts: (component, share), largest first, of those with a
    page; seconds: of the whole song; departures: None where there are no vectors that tell."""

    number: int
    name: str
    labels: tuple[str, ...]
    seconds: float
    parts: tuple[tuple[int, float], ...]
    timeline: Timeline
    similar: tuple[Similar, ...]
    shares: np.ndarray
    departures: Departures | None = None


@dataclass(frozen=True)
class Study:
    """A study by its name: its figure (PNG) and its rows, as `jobs.sweep` keeps them in table.parquet."""

    name: str
    figure: bytes
    rows: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class LabelColumn:
    """What a column of the label file says: songs per label, most frequent first."""

    name: str
    counts: tuple[tuple[str, int], ...]
    unlabelled: int


@dataclass(frozen=True)
class Quarantined:
    """A file that was set aside."""

    name: str
    reason: str
    message: str


@dataclass(frozen=True)
class Histogram:
    """Songs per duration: counts[i] last from edges[i] to edges[i + 1] seconds."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Corpus:
    """The songs behind everything on the page."""

    name: str
    n_tracks: int
    n_songs: int
    seconds: float
    formats: tuple[tuple[str, int], ...]
    sample_rates: tuple[tuple[str, int], ...]
    channels: tuple[tuple[str, int], ...]
    durations: Histogram
    labels: tuple[LabelColumn, ...]
    quarantined: tuple[Quarantined, ...]


@dataclass(frozen=True)
class Report:
    """Everything the pages show. `inputs` is a digest of what they were made from.

    usage: (component,) share of all frames; components: those with a page, most used first; notes: (task, what was
    left out). group: what the groups are called whose songs are not like each other, "" where those are listed too;
    trained_in: the root that the model comes from, "" where it was trained on this corpus. recommended: the row of our
    kind of vectors that was chosen beforehand, None where it has no scores; differences: what it is ahead of others.
    """

    model: str
    made: str
    inputs: str
    corpus: Corpus
    epochs: tuple[Epoch, ...]
    summaries: tuple[Summary, ...]
    recommended: str | None
    differences: tuple[Difference, ...]
    notes: tuple[tuple[str, str], ...]
    usage: np.ndarray
    components: tuple[Component, ...]
    songs: tuple[Song, ...]
    studies: tuple[Study, ...] = ()
    group: str = ""
    trained_in: str = ""
