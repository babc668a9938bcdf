"""How components sound: which sums of frame features tell of it, by whatever blocks the features have."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.interpretation.sound import (
    Gaussians,
    deviations,
    in_pitches,
    in_words,
    inverse_dct,
    mixture_moments,
)
from evaluation.report.records import Chroma, Dynamic, Sound, Spectrum, Trait
from features.blocks.block import PITCH_CLASSES
from features.spec import FeatureSpec
from features.spectral.filters import mel_centres

log = logging.getLogger(__name__)

Weights = Callable[[int], np.ndarray]  # of the columns of a block, by their number


def _column(place: int, sign: float = 1.0) -> Weights:
    return lambda n: sign * np.eye(n)[place]


def _mean(sign: float = 1.0) -> Weights:
    return lambda n: np.full(n, sign / n)


def _rise(n: int) -> np.ndarray:
    """More where later columns have more: the second row of a DCT, turned."""
    return -np.cos(np.pi * (np.arange(n) + 0.5) / n)


@dataclass(frozen=True)
class TraitSource:
    """A trait of sound that frame features tell of, and the words for little and much of it, for less and for more.

    blocks: (feature block, weights of its columns); the first that the features have is taken.
    """

    name: str
    blocks: tuple[tuple[str, Weights], ...]
    less: str
    more: str
    less_so: str
    more_so: str


TRAITS = (
    TraitSource(
        "Loudness",
        (("mfcc", _column(0)), ("rms", _column(0)), ("mel", _mean())),
        *("quiet", "loud", "quieter", "louder"),
    ),
    TraitSource(
        "Brightness",
        (("mfcc", _column(1, -1.0)), ("spectral_centroid", _column(0)), ("mel", _rise)),
        *("dark", "bright", "darker", "brighter"),
    ),
    TraitSource(  # of a tone, energy is in few bins and few pitch classes; of a noise in all
        "Tone",
        (("spectral_contrast", _mean()), ("spectral_flatness", _mean(-1.0)), ("chroma", _mean(-1.0))),
        *("noisy", "tonal", "noisier", "more tonal"),
    ),
    TraitSource(
        "Attacks",
        (("onset_strength", _column(0)),),
        *("smooth", "percussive", "smoother", "more percussive"),
    ),
)
_CHROMA = {
    "chroma": np.exp,
    "chroma_stft": np.abs,
    "chroma_cqt": np.abs,
}  # block -> its values as energies, >= 0


def traits_of(spec: FeatureSpec) -> dict[TraitSource, np.ndarray]:
    """The traits that the features tell of, and for each the weights (dim,) of a frame's features."""
    found = {}
    for trait in TRAITS:
        known = [source for source in trait.blocks if source[0] in spec.features]
        if known:
            found[trait] = _weights(spec, *known[0])
    return found


def sounds_of(
    spec: FeatureSpec, components: Gaussians, share: np.ndarray, shown: Sequence[int]
) -> list[Sound]:
    """How the components shown sound next to all the music; share (comp,): of its frames."""
    traits = traits_of(spec)
    if missing := [trait.name for trait in TRAITS if trait not in traits]:
        log.info(
            "report: %s: left out, no feature block (%s) tells of it",
            ", ".join(missing),
            ", ".join(spec.features),
        )
    corpus = mixture_moments(share, components)
    chosen = list(shown)
    own = Gaussians(components.mean[chosen], components.covariance[chosen])
    parts = zip(
        _traits(traits, own, corpus),
        _pitches(spec, own, corpus),
        _spectra(spec, own, corpus),
        _dynamics(spec, own, corpus),
        strict=True,
    )
    return [_sound(*part) for part in parts]


def _sound(
    traits: tuple[Trait, ...],
    pitches: tuple[tuple[str, float], Chroma | None],
    spectrum: Spectrum | None,
    dynamics: tuple[Dynamic, ...],
) -> Sound:
    told = [(trait.words, abs(trait.deviation)) for trait in traits] + [pitches[0]]
    words = [word for word, _ in sorted(told, key=lambda item: -item[1]) if word]
    return Sound(tuple(words), traits, spectrum, pitches[1], dynamics)


def _traits(
    traits: dict[TraitSource, np.ndarray], own: Gaussians, corpus: Gaussians
) -> list[tuple[Trait, ...]]:
    if not traits:
        return [()] * len(own.mean)
    weights = np.stack(list(traits.values()))
    found = _deviations(weights, own, corpus)
    return [
        tuple(
            Trait(trait.name, in_words(value, trait.less, trait.more), value)
            for trait, value in zip(traits, row, strict=True)
        )
        for row in found.tolist()
    ]


def _deviations(weights: np.ndarray, own: Gaussians, corpus: Gaussians) -> np.ndarray:
    """(comp, reading) in standard deviations of a frame of the corpus."""
    (mean,), (sd,) = corpus.read(weights)
    return deviations(own.read(weights)[0], mean, sd)


def _pitches(
    spec: FeatureSpec, own: Gaussians, corpus: Gaussians
) -> list[tuple[tuple[str, float], Chroma | None]]:
    """Words with their deviation, and energies, of each component. A pitch class counts next to the mean of all twelve,
    which is about noise and tone."""
    block = next((name for name in _CHROMA if name in spec.features), None)
    if block is None:
        return [(("", 0.0), None)] * len(own.mean)
    place = spec.block(block)
    n = place.stop - place.start
    names = PITCH_CLASSES if n == len(PITCH_CLASSES) else tuple(map(str, range(n)))
    weights = np.zeros((n, spec.n_features))
    weights[:, place] = np.eye(n) - 1.0 / n
    energy = _CHROMA[block]
    return [
        (in_pitches(row, names), Chroma(names, energy(mean[place]), energy(corpus.mean[0, place])))
        for row, mean in zip(_deviations(weights, own, corpus), own.mean, strict=True)
    ]


def _spectra(spec: FeatureSpec, own: Gaussians, corpus: Gaussians) -> list[Spectrum | None]:
    """The log-mel spectrum: the mel bands themselves, or what the cepstral coefficients keep of them."""
    block = next((name for name in ("mel", "mfcc") if name in spec.features), None)
    if block is None:
        return [None] * len(own.mean)
    place = spec.block(block)
    n = place.stop - place.start
    weights = np.zeros((spec.n_mels, spec.n_features))
    weights[:, place] = np.eye(n) if block == "mel" else inverse_dct(spec.n_mels, n)
    (level,), _ = corpus.read(weights)
    hertz = mel_centres(spec)
    return [Spectrum(hertz, mean, sd, level) for mean, sd in zip(*own.read(weights), strict=True)]


def _dynamics(spec: FeatureSpec, own: Gaussians, corpus: Gaussians) -> list[tuple[Dynamic, ...]]:
    """Level, its change and attacks: means and deviations of a component's frames and of the corpus'.

    The first coefficient of an orthonormal DCT is sqrt(bands) times the mean of the bands.
    """
    known = {name: (unit, _weights(spec, block, weights)) for name, unit, block, weights in _readings(spec)}
    if not known:
        return [()] * len(own.mean)
    weights = np.stack([part for _, part in known.values()])
    (mean,), (sd,) = corpus.read(weights)
    return [
        tuple(
            Dynamic(name, known[name][0], *numbers)
            for name, *numbers in zip(known, *(x.tolist() for x in (at, apart, mean, sd)), strict=True)
        )
        for at, apart in zip(*own.read(weights), strict=True)
    ]


def _readings(spec: FeatureSpec) -> list[tuple[str, str, str, Weights]]:
    """(name, unit, block, weights), one a name."""
    bands = np.sqrt(spec.n_mels)
    listed: list[tuple[str, str, str, Weights]] = [
        ("Level", " dB", "mfcc", _column(0, 1 / bands)),
        ("Level", " dB", "mel", _mean()),
        ("Level", "", "rms", _column(0)),
        ("Change of level", " dB/s", "mfcc_delta", _column(0, spec.frames_per_second / bands)),
        ("Attack, log of onset strength", "", "onset_strength", _column(0)),
    ]
    found: dict[str, tuple[str, str, str, Weights]] = {}
    for item in listed:
        if item[2] in spec.features:
            found.setdefault(item[0], item)
    return list(found.values())


def _weights(spec: FeatureSpec, block: str, weights: Weights) -> np.ndarray:
    """Weights of the columns of a block as weights (dim,) of a frame's features."""
    place, found = spec.block(block), np.zeros(spec.n_features)
    found[place] = weights(place.stop - place.start)
    return found
