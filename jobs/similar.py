"""`python -m jobs.similar`: the songs of a corpus that sound most like one of them, or like an audio file."""

import json
import logging
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from evaluation.similar import Neighbour, Part, centre_of, nearest
from features.errors import BadTrack
from features.extract import extract
from infra import cli
from infra.config import Config, load
from infra.errors import ConfigError
from infra.storage import Store, read_uri
from jobs.evaluate_inputs import Inputs, find_inputs
from jobs.evaluate_vectors import as_matrix, vector_tables
from jobs.labels import Names
from jobs.model import load_model, require_features, song_vectors
from jobs.report_corpus import read_labels
from jobs.specification import require_frames

log = logging.getLogger(__name__)

COLUMN = "soft_sqrt"


def run(config: Config, model: str | None, track: str | None, audio: str | None, k: int) -> list[Neighbour]:
    """The k nearest songs by the cosine of centred soft posteriors; exact. Give a track or an audio file.

    Raises ConfigError for a track or a file that cannot be compared.
    """
    inputs = find_inputs(Store(config.root), config.corpus, model)
    if bool(track) == bool(audio):
        raise ConfigError("similar: give --track ID or --audio FILE")
    name = None if track is None else _find(inputs, track)
    query = _heard(config, inputs, audio) if audio else _stored(inputs, name or "")
    return nearest(query, _parts(inputs), centre_of(_parts(inputs)), k, but=name)


def _parts(inputs: Inputs) -> Iterator[Part]:
    for table in vector_tables(inputs.store, inputs.vectors, [COLUMN]):
        if table.num_rows:
            yield table["track_id"].to_pylist(), as_matrix(table[COLUMN])


def _find(inputs: Inputs, track: str) -> str:
    ids = inputs.tracks["track_id"].to_pylist()
    row = Names(ids).find(track)
    if row is None:
        raise ConfigError(
            f"--track {track!r}: no track of corpus {inputs.corpus!r} has that name; the first is {ids[0]!r}"
        )
    return ids[row]


def _stored(inputs: Inputs, track: str) -> np.ndarray:
    for ids, vectors in _parts(inputs):
        if track in ids:
            return vectors[ids.index(track)]
    raise ConfigError(f"--track {track!r}: has no vector (set aside or new); python -m jobs.status says more")


def _heard(config: Config, inputs: Inputs, audio: str) -> np.ndarray:
    """The vector of an audio file, by the specification and the model of the corpus: (component,)."""
    spec = require_frames(config.extract)
    model = load_model(inputs.store, inputs.model)
    require_features(model, inputs.feature_prefix.rpartition("/")[2])
    try:
        frames = extract(read_uri(audio), audio.rpartition("/")[2], spec).frames
    except FileNotFoundError:
        raise ConfigError(f"--audio {audio}: no such file") from None
    except BadTrack as bad:
        raise ConfigError(f"--audio {audio}: {bad.reason}: {bad.message}") from None
    found = song_vectors(model, np.ascontiguousarray(frames, np.float32), np.array([0, len(frames)]))
    return found.soft.sqrt().numpy()[0]


def show(config: Config, found: list[Neighbour], model: str | None) -> None:
    """Rank, cosine, track and its labels."""
    labels = read_labels(find_inputs(Store(config.root), config.corpus, model).tracks)
    table = Table("", "cosine", "track", "labels")
    for rank, one in enumerate(found, 1):
        table.add_row(str(rank), f"{one.cosine:.3f}", one.track_id, ", ".join(labels.words(one.track_id)))
    Console(highlight=False, width=120).print(table)


def main(
    track: Annotated[str | None, typer.Option("--track", metavar="ID", help="A track of the corpus.")] = None,
    audio: Annotated[str | None, typer.Option("--audio", metavar="FILE", help="Any audio file.")] = None,
    k: Annotated[int, typer.Option("--k", min=1, help="Songs to show.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines instead of a table.")] = False,
    root: cli.Root = None,
    config: cli.ConfigFile = None,
    set_: cli.Set = None,
    corpus: cli.Corpus = None,
    model: cli.Model = None,
) -> None:
    """The songs that sound most like a track of the corpus, or like an audio file."""
    resolved = load(config, tuple(set_ or ()), root=root, corpus=corpus)
    found = run(resolved, model, track, audio, k)
    if as_json:
        for one in found:
            print(json.dumps(asdict(one), ensure_ascii=False))
    else:
        show(resolved, found, model)


if __name__ == "__main__":
    cli.run(main, "extract")
