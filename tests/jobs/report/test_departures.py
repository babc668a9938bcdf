"""Which components move a song away from others: a song planted to be sharper in one of two sounds is told so."""

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import torch

from features.spec import FeatureSpec
from hdpgmm.data.whitening import moments, whitening
from hdpgmm.kinds import KINDS
from hdpgmm.kinds.kind import Batch
from hdpgmm.local_step.posterior import LocalOptions
from hdpgmm.model import prepare
from hdpgmm.ragged import packed
from jobs.report import departures
from jobs.report.departures import find_departures
from tests.hdpgmm.corpora import corpus_of, partition_state, skewed_prior

SPEC = FeatureSpec(features=("rms", "spectral_centroid", "spectral_flatness", "onset_strength"))
# The songs that differ: the first has more attacks where it is dark, the second is never dark.
SHARPER, ABSENT = 20, 21


def _songs() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """22 songs of 60 dark frames and then 60 bright ones, with more attacks and brighter where they are louder."""
    rng = np.random.default_rng(0)
    mixing = np.array([[1.0, 0.8, 0.0, 0.9], [0.0, 0.6, 0.0, 0.3], [0, 0, 1.0, 0], [0, 0, 0, 0.5]])
    songs, labels = [], []
    for i in range(22):
        dark = np.arange(120) < (0 if i == ABSENT else 60)
        frames = rng.normal(size=(120, 4)) @ mixing + 0.2 * rng.normal(size=4)
        frames[:, 1] += np.where(dark, -8.0, 8.0)
        if i == SHARPER:
            frames[dark, 3] += 3.0
        songs.append(frames * (0.01, 300.0, 0.1, 1.0) + (0.1, 3000.0, 0.3, 0.0))
        labels.append(np.where(dark, 0, 1))
    return songs, labels


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> dict:
    """Vectors of 16-bit floats, as a root has them, of a model in whitened units, in two shards."""
    songs, labels = _songs()
    white = whitening(moments(np.concatenate(songs)))
    corpus = corpus_of([torch.tensor((song - white.mean) @ white.transform) for song in songs], labels)
    state = partition_state(corpus, 2, skewed_prior(4))
    ready = prepare(state)
    frames = packed([song.float() for song in corpus.songs])
    vectors = KINDS["fisher"].compute(Batch(ready, state, frames, LocalOptions(n_atoms=2))).numpy()
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.astype(np.float16).ravel()), vectors.shape[1])
    shares = [[0.0, 1.0] if i == ABSENT else [0.5, 0.5] for i in range(22)]
    table = pa.table(
        {
            "track_id": [f"{i}" for i in range(22)],
            "fisher": column,
            "responsibility": pa.array(shares, pa.list_(pa.float32(), 2)),
        }
    )
    monkeypatch.setattr(departures, "vector_tables", lambda *_: iter([table[:9], table[9:]]))
    inputs = SimpleNamespace(kinds={"fisher"}, specification=SPEC, store=None, vectors=None)
    model = SimpleNamespace(state=state, n_components=2, whitening=white)
    return find_departures(inputs, model, [f"{i}" for i in range(22)])  # pyright: ignore


def test_a_song_is_told_apart_by_the_component_that_it_differs_in(found: dict):
    told = found[f"{SHARPER}"]
    assert told.n_songs == 22
    assert told.parts[0].component == 0
    assert told.parts[0].share > 0.6
    assert told.parts[0].words == ("more percussive",)  # though attacks go with loudness, it is no louder


def test_of_what_a_song_lacks_there_is_no_direction(found: dict):
    """Others' frames, which tempered responsibilities give a little of to every component, are not its own."""
    for told in found[f"{ABSENT}"].parts:
        assert told.component == 1 or told.words == ()
    assert any(part.words for part in found["0"].parts if part.component == 0)


def test_shares_are_of_the_whole_distance(found: dict):
    for told in found.values():
        shares = [part.share for part in told.parts]
        assert sum(shares) == pytest.approx(1.0)
        assert shares == sorted(shares, reverse=True)


def test_without_such_vectors_nothing_is_said():
    inputs = SimpleNamespace(kinds={"soft_sqrt"})
    assert find_departures(inputs, None, ["a"]) == {}  # pyright: ignore
