"""What the page says about the music: counts, durations, labels, and the files that were set aside."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from evaluation.report.records import Corpus, Histogram, LabelColumn, Quarantined
from infra.root.schemas import CHANNELS, DURATION, MESSAGE, PATH, REASON, SAMPLE_RATE, TRACK_ID
from infra.root.songs import read_quarantine, read_songs
from jobs.evaluate.inputs import Inputs
from jobs.evaluate.labels import Labels

SOURCE_COLUMNS = (DURATION, SAMPLE_RATE, CHANNELS)
BINS = 24


def describe_corpus(inputs: Inputs, labels: Labels, sources: pa.Table) -> Corpus:
    """The corpus section of the page; sources as `read_sources` gives."""
    seconds = sources[DURATION].to_numpy()
    living = sources[TRACK_ID].to_pylist()
    counts, edges = np.histogram(seconds, bins=_edges(seconds))
    quarantine = read_quarantine(inputs.store, inputs.features).to_pylist()
    return Corpus(
        name=inputs.corpus,
        n_tracks=inputs.tracks.num_rows,
        n_songs=len(living),
        seconds=float(seconds.sum()),
        formats=_count(_extension(track) for track in living),
        sample_rates=_count(f"{rate / 1000:g} kHz" for rate in sources[SAMPLE_RATE].to_pylist()),
        channels=_count(
            {1: "mono", 2: "stereo"}.get(n, f"{n} channels") for n in sources[CHANNELS].to_pylist()
        ),
        durations=Histogram(tuple(edges.tolist()), tuple(counts.tolist())),
        labels=tuple(_label_column(name, values) for name, values in labels.columns),
        quarantined=tuple(map(_quarantined, quarantine)),
    )


def read_sources(inputs: Inputs) -> pa.Table:
    """track_id and SOURCE_COLUMNS of every song of the snapshot of features; no frame is read."""
    songs = read_songs(inputs.store, inputs.features)
    living = set(zip(songs[TRACK_ID].to_pylist(), songs[PATH].to_pylist(), strict=True))
    parts = []
    for shard in inputs.features.shards:
        if not shard.rows:
            continue
        with inputs.store.open(shard.path) as source, pq.ParquetFile(source) as file:
            table = file.read(columns=[TRACK_ID, *SOURCE_COLUMNS])
        mask = [(track, shard.path) in living for track in table[TRACK_ID].to_pylist()]
        parts.append(table.filter(pa.array(mask, pa.bool_())))
    return pa.concat_tables(parts)


def _edges(seconds: np.ndarray) -> np.ndarray:
    """Bins of a round width, from the shortest to the longest song."""
    spread = max(float(seconds.max() - seconds.min()), 1.0)
    width = next(
        w for w in (0.1, 0.25, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600) if spread / w <= BINS or w == 600
    )
    first = np.floor(seconds.min() / width)
    return width * np.arange(first, np.floor(seconds.max() / width) + 2)


def _quarantined(row: dict[str, Any]) -> Quarantined:
    name = row[TRACK_ID]
    return Quarantined(name, row[REASON], row[MESSAGE].removeprefix(f"{name}: "))


def _label_column(name: str, values: Sequence[tuple[str, ...] | None]) -> LabelColumn:
    counts = _count(label for labels in values for label in labels or ())
    return LabelColumn(name, counts, sum(labels is None for labels in values))


def _count(values: Iterable[str]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(Counter(values).items(), key=lambda item: (-item[1], item[0])))


def _extension(name: str) -> str:
    return name.rpartition("/")[2].rpartition(".")[2].lower()
