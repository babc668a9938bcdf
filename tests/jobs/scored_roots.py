"""Roots with features, a model and its vectors, made by hand: what evaluate and report start from."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import soundfile

from features.spec import DEFAULT_PRESET, PRESETS, fingerprint
from hdpgmm.ragged import offsets_of
from infra.root import models
from infra.root.ledger import Tree
from infra.root.records import quarantine_table, songs_table
from infra.storage.parquet import encode
from infra.storage.store import Store

SPEC = PRESETS[DEFAULT_PRESET]
FINGERPRINT = fingerprint(SPEC)
COMPONENTS = 6


@dataclass(frozen=True)
class Song:
    """A made-up song: frames (frame, 59), the share of each component, and what the label file says."""

    track_id: str
    frames: np.ndarray
    shares: np.ndarray
    style: str | None
    tags: Sequence[str] | None
    group: str | None = None
    version: str = "1"


def make_songs(n: int, seed: int = 0, groups: int | None = None) -> list[Song]:
    """Songs of three styles in turn; frames and shares know the style, the shares also the tags."""
    rng, owners = np.random.default_rng(seed), np.random.default_rng([seed, 1])
    songs = []
    for i in range(n):
        style = i % 3
        shares = 0.02 + 0.02 * rng.random(COMPONENTS)
        shares[style] += 0.6
        shares[3 + i % 2] += 0.2
        frames = rng.normal(size=(int(rng.integers(30, 60)), SPEC.n_features)).astype(np.float32)
        frames[:, 17 * style : 17 * style + 17] += 4
        tags = ["odd"] * (i % 2) + ["first"] * (style == 0) or None
        group = None if groups is None else f"g{owners.integers(0, groups)}"
        name = f"songs/{(7 * i) % n:03d}.wav"
        songs.append(Song(name, frames, shares / shares.sum(), "abc"[style], tags, group))
    return songs


def write_root(
    root: Path,
    songs: Sequence[Song],
    run: str = "m1",
    without_vector: Sequence[str] = (),
    bad: Sequence[str] = (),
) -> Store:
    """A root in which evaluate and report find everything; `bad` tracks are quarantined."""
    store = Store(str(root))
    write_tracks(store, songs, bad)
    write_features(store, songs, bad)
    write_vectors(store, [song for song in songs if song.track_id not in without_vector], run)
    models.finish(store, run, {"fingerprint": FINGERPRINT}, HISTORY, {}, 1)
    return store


HISTORY = [
    {
        "epoch": e,
        "step": e,
        "bound": -9.0 + e,
        "heldout": -9.5 + e,
        "components": 5,
        "rho": 0.5,
        "seconds": 1.0,
    }
    for e in (1, 2, 3)
]


def write_tracks(store: Store, songs: Sequence[Song], bad: Sequence[str] = (), uri: str = "/nowhere") -> None:
    """The track list with labels, sorted by name as jobs.index writes it."""
    rows: list[dict[str, Any]] = [
        {
            "track_id": s.track_id,
            "label_style": s.style,
            "tags_mood": s.tags,
            "group": s.group,
            "version": s.version,
        }
        for s in songs
    ]
    rows += [{"track_id": name, "version": "1"} for name in bad]
    schema = pa.schema(
        {
            "track_id": pa.string(),
            "uri": pa.string(),
            "bytes": pa.int64(),
            "version": pa.string(),
            "label_style": pa.string(),
            "tags_mood": pa.list_(pa.string()),
            "group": pa.string(),
        }
    )
    rows = [{"uri": f"{uri}/{row['track_id']}", "bytes": 9, **row} for row in rows]
    table = pa.Table.from_pylist(rows, schema=schema).sort_by("track_id")
    store.write("corpus/default/tracks.parquet", encode(table, [table.num_rows]))


def write_features(store: Store, songs: Sequence[Song], bad: Sequence[str] = ()) -> None:
    """Two shards of features, and a quarantine record for each bad track."""
    tree = Tree(store, f"features/{FINGERPRINT}")
    tree.write_spec(SPEC.to_json())
    told = {"stage": "extract", "reason": "SILENT", "message": "peak 0", "attempts": 1}
    records = [{"track_id": name, "version": "1", **told, "first_seen": "", "last_seen": ""} for name in bad]
    half = len(songs) // 2
    commits = []
    for shard, part, lost in (("f0", songs[:half], []), ("f1", songs[half:], records)):
        table = _features(part)
        commits.append(tree.commit(shard, table, lost, len(part) + len(lost), [3, len(part) - 3]))
    tables = songs_table(commits).sort_by("track_id"), quarantine_table(commits)
    tree.publish("default", [commit.reference() for commit in commits], *tables)


def write_vectors(store: Store, songs: Sequence[Song], run: str) -> None:
    """Two shards of vectors, in another order than the features."""
    tree = Tree(store, f"vectors/{run}")
    kinds = ("posterior_log", "posterior_sqrt", "soft_sqrt", "responsibility")
    tree.write_spec(
        {
            "model": run,
            "fingerprint": FINGERPRINT,
            "n_components": COMPONENTS,
            **dict.fromkeys(kinds, "made up"),
        }
    )
    ordered = sorted(songs, key=lambda song: song.track_id[::-1])
    parts = [ordered[::2], ordered[1::2]]
    commits = [
        tree.commit(f"{run}-{i}-{''.join(s.version for s in p)}", _vectors(p), [], len(p), [len(p)])
        for i, p in enumerate(parts)
    ]
    living = songs_table(commits).sort_by("track_id")
    tree.publish("default", [commit.reference() for commit in commits], living, quarantine_table([]))


def write_tones(
    folder: Path, songs: Sequence[Song], seconds: float, base: float, planted: dict[str, slice]
) -> None:
    """Wav files with a quiet tone at `base` Hz, and a loud one an octave higher in each song's planted seconds."""
    time = np.arange(int(seconds * SPEC.sample_rate)) / SPEC.sample_rate
    for song in songs:
        wave = 0.1 * np.sin(2 * np.pi * base * time)
        here = planted.get(song.track_id, slice(0, 0))
        inside = (time >= here.start) & (time < here.stop)
        wave[inside] = 0.5 * np.sin(4 * np.pi * base * time[inside])
        path = folder / song.track_id
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, wave, SPEC.sample_rate)


def summary_metadata(store: Store, path: str) -> dict[str, Any]:
    """The JSON beside a table of scores."""
    schema = pa.parquet.read_schema(pa.BufferReader(store.read(path)))  # pyright: ignore
    return json.loads(schema.metadata[b"hdpgmm"])


def _features(songs: Sequence[Song]) -> pa.Table:
    lengths = [len(song.frames) for song in songs]
    flat = pa.array(np.concatenate([song.frames for song in songs]).ravel())
    frames = pa.FixedSizeListArray.from_arrays(flat, SPEC.n_features)
    return pa.table(
        {
            "track_id": [song.track_id for song in songs],
            "version": [song.version for song in songs],
            "n_frames": pa.array(lengths, pa.int32()),
            "frames": pa.ListArray.from_arrays(pa.array(offsets_of(lengths), pa.int32()), frames),
            "duration_seconds": [SPEC.hop_length * n / SPEC.sample_rate for n in lengths],
            "sample_rate": pa.array([SPEC.sample_rate] * len(songs), pa.int32()),
            "channels": pa.array([1] * len(songs), pa.int32()),
            "decoder": ["none"] * len(songs),
        }
    )


def _vectors(songs: Sequence[Song]) -> pa.Table:
    kind = pa.list_(pa.float32(), COMPONENTS)
    return pa.table(
        {
            "track_id": [song.track_id for song in songs],
            "version": [song.version for song in songs],
            "n_frames": pa.array([len(song.frames) for song in songs], pa.int32()),
            "posterior_log": pa.array(
                [np.log(np.maximum(song.shares, 1e-8)).tolist() for song in songs], kind
            ),
            "posterior_sqrt": pa.array([np.sqrt(song.shares).tolist() for song in songs], kind),
            "soft_sqrt": pa.array(
                [np.sqrt(0.5 * song.shares + 0.5 / COMPONENTS).tolist() for song in songs], kind
            ),
            "responsibility": pa.array([song.shares.tolist() for song in songs], kind),
        }
    )
