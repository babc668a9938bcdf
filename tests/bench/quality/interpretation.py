"""`python -m tests.bench.quality.interpretation`: do components name the style or instrument that generated them?

A corpus is composed (`--tracks`, `--seed`) and goes through the demo's pipeline, or `--root` holds that. Each of the 20
most used components is named as `jobs.interpret` does: of all styles and instruments of the label file, the one with
the largest NPMI over the songs. What generated it is asked of songs that neither the model nor the naming has met:
`--fresh` tracks by the composers of `--fresh-seed`. There the score says whose sound each frame is: its style, and
every player's part of the power of the dry mix (evaluation.compose.activity); with the model's responsibilities this
gives p(label, component) over frames. Printed is one JSON line of shares of those components:

right   that are more often than by chance where their name sounds: the lift p(l, k) / (p(l) p(k)) is above 1 with its
        95 % one-sided bound, a bootstrap over composers
twice   whose lift is at least 2
first   whose name has the largest NPMI of all styles, or of all instruments
third   one of the three largest

each also for names from components whose songs were dealt anew (the mean of 50 deals): what a name is worth by chance.
"""

import argparse
import json
import multiprocessing
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from evaluation.compose.activity import energy_shares
from evaluation.compose.files import played
from evaluation.compose.plan import Track, plan
from evaluation.compose.writing.score import generator
from evaluation.interpretation.association import npmi
from evaluation.interpretation.coherence import shuffled
from evaluation.interpretation.tally import tally
from evaluation.probing.metrics.resampling import resamples
from features.extract import extract
from features.spec import DEFAULT_PRESET, PRESETS
from hdpgmm.ragged import packed
from infra.config import load
from infra.storage.store import Store
from jobs import compose
from jobs.evaluate.inputs import find_inputs
from jobs.evaluate.labels import Labels, read_labels
from jobs.interpret.tables import Songs, gather
from jobs.pipeline import job as pipeline
from jobs.represent.model import LoadedModel, frame_responsibilities, load_model

SPEC = PRESETS[DEFAULT_PRESET]
FIELDS = ("style", "instruments")
SHUFFLES, RESAMPLES = 50, 1000
Places = Mapping[tuple[str, str], int]  # of a field's label among all


@dataclass(frozen=True)
class Heard:
    """A fresh track: frames (frame, dim), who sounds (frame, instrument), style and composer."""

    frames: np.ndarray
    activity: np.ndarray
    style: str
    instruments: tuple[str, ...]
    composer: str


@dataclass(frozen=True)
class Truth:
    """Sums over the frames of each fresh song in which somebody plays: joint (song, label, component), labels (song,
    label), components (song, component). groups: int (song,), the composers."""

    joint: np.ndarray
    labels: np.ndarray
    components: np.ndarray
    groups: np.ndarray

    def lift(self, weights: np.ndarray) -> np.ndarray:
        """p(l, k) / (p(l) p(k)), (label, component); weights (song,)."""
        joint, label, comp = (
            np.tensordot(weights, part, 1) for part in (self.joint, self.labels, self.components)
        )
        chance = label[:, None] * comp / comp.sum()
        return np.divide(joint, chance, out=np.zeros_like(joint), where=chance > 0)

    def npmi(self) -> np.ndarray:
        """(label, component), -1 where they never meet."""
        joint = self.joint.sum(axis=0) / self.components.sum()
        met, lift = joint > 0, self.lift(np.ones(len(self.joint)))
        return np.where(met, np.log(np.where(met, lift, 1.0)) / -np.log(np.where(met, joint, 0.5)), -1.0)


def hear(track: Track) -> Heard:
    """Compose a track, make its file, extract it, and ask the score who plays."""
    song, frames = track.song(), extract(played(track), track.file, SPEC).frames
    rng = generator(track.seed, track.number, "activity")
    activity = energy_shares(song, SPEC.sample_rate, SPEC.n_fft, SPEC.hop_length, len(frames), rng)
    return Heard(frames, activity, song.style, song.instruments, track.artist.name)


def truth_of(model: LoadedModel, places: Places, units: np.ndarray, heard: Iterator[Heard]) -> Truth:
    """What the fresh songs say about every label and these components."""
    joint, labels, comps, composers = [], [], [], []
    for song in heard:
        r = frame_responsibilities(model, packed([song.frames])).values.astype(np.float64)[:, units]
        sounding = song.activity.sum(axis=1) > 0
        met, sounds = np.zeros((len(places), r.shape[1])), np.zeros(len(places))
        sources = [(("style", song.style), sounding.astype(float))]
        sources += [(("instruments", name), song.activity[:, i]) for i, name in enumerate(song.instruments)]
        for pair, when in sources:
            if pair in places:
                met[places[pair]], sounds[places[pair]] = when @ r, when.sum()
        other = sounding.sum() - r[sounding].sum()  # of all other components
        joint.append(met)
        labels.append(sounds)
        comps.append(np.append(r[sounding].sum(axis=0), other))
        composers.append(song.composer)
    groups = np.unique(composers, return_inverse=True)[1]
    joint = [
        np.column_stack([met, sounds - met.sum(axis=1)]) for met, sounds in zip(joint, labels, strict=True)
    ]
    return Truth(np.stack(joint), np.stack(labels), np.stack(comps), groups)


def label_places(labels: Labels, songs: Songs, least: int) -> tuple[Places, np.ndarray]:
    """Styles and instruments that enough songs have, and which songs have them: bool (label, song)."""
    rows: dict[tuple[str, str], int] = {}
    for field, per_track in labels.columns:
        for word in sorted({word for words in per_track for word in words or ()}):
            row = labels.names.index(word if word in labels.names else f"{word} ({field})")
            if field in FIELDS and least <= songs.members[row].sum() < len(songs.ids):
                rows[field, word] = row
    return {pair: i for i, pair in enumerate(rows)}, songs.members[list(rows.values())]


def names_of(shares: np.ndarray, n_frames: np.ndarray, members: np.ndarray) -> np.ndarray:
    """int (component,): the label with the largest NPMI."""
    return npmi(tally(shares, n_frames, members)).argmax(axis=0)


def judge(truth: Truth, places: Places, names: np.ndarray, low: np.ndarray) -> np.ndarray:
    """Share of the names that hold, by each criterion."""
    kind = np.array([FIELDS.index(field) for field, _ in places])
    lift, strength = truth.lift(np.ones(len(truth.joint))), truth.npmi()
    rows = []
    for k, name in enumerate(names):
        ahead = (strength[kind == kind[name], k] > strength[name, k]).sum()
        rows.append((low[name, k] > 1, lift[name, k] >= 2, ahead == 0, ahead < 3))
    return np.mean(rows, axis=0)


def measure(root: str, fresh: int, fresh_seed: int, processes: int) -> dict[str, object]:
    """The JSON line's content."""
    config = load(None, (), root=root)
    inputs = find_inputs(Store(root), config.corpus, None)
    labels = read_labels(inputs.tracks)
    songs = gather(inputs, labels, config.interpret)
    places, members = label_places(labels, songs, config.interpret.min_songs)
    units = np.argsort(-(songs.n_frames @ songs.shares), kind="stable")[: config.interpret.shown]
    shares, model = songs.shares[:, units], load_model(inputs.store, inputs.model)
    torch.set_num_threads(1)
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        truth = truth_of(model, places, units, pool.imap(hear, plan(fresh, fresh_seed), chunksize=4))
    draws = (weights for block in resamples(fresh, truth.groups, RESAMPLES, 0) for weights in block)
    low = np.percentile(np.stack([truth.lift(weights).astype(np.float32) for weights in draws]), 5, axis=0)
    own, *mixed = (
        judge(truth, places, names_of(x, songs.n_frames, members), low)
        for x in (shares, *(shuffled(shares, seed) for seed in range(SHUFFLES)))
    )
    criteria = ("right", "twice", "first", "third")
    found = dict(zip(criteria, own.round(3).tolist(), strict=True))
    by_chance = zip(criteria, np.mean(mixed, axis=0).round(3).tolist(), strict=True)
    sizes = {"songs": len(songs.ids), "fresh": fresh, "components": len(units), "labels": len(places)}
    return {"bench": "interpretation", **sizes, **found, **{f"{k}_shuffled": v for k, v in by_chance}}


def composed(folder: Path, tracks: int, seed: int) -> str:
    """The root of a composed corpus that went through the demo's pipeline."""
    music, root = folder / "music", folder / "root"
    compose.compose(music, tracks, seed, 2)
    config = load(
        "jobs/configs/demo.yaml", (), root=str(root), music=str(music), labels_file=str(music / "labels.csv")
    )
    pipeline.run(config)
    return str(root)


def main() -> None:
    """Compose, learn, name, ask, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.quality.interpretation", description=__doc__)
    parser.add_argument("--root", help="of a composed corpus with vectors; default: in a temporary folder")
    parser.add_argument("--tracks", type=int, default=256)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fresh", type=int, default=256)
    parser.add_argument("--fresh-seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = options.root or composed(Path(folder), options.tracks, options.seed)
        print(json.dumps(measure(root, options.fresh, options.fresh_seed, options.processes)))


if __name__ == "__main__":
    main()
