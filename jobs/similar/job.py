"""`python -m jobs.similar`: the songs most like a track of the corpus, or like an audio file."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import starmap
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evaluation.neighbours.exact import Neighbour
from features.errors import BadTrack
from features.extract import extract
from features.networks.network import Network
from features.spec import FeatureSpec
from hdpgmm.ragged import packed
from infra.config import Config, ExtractConfig, SimilarConfig
from infra.datasets.audio import Found
from infra.datasets.duplicates import find_duplicates
from infra.datasets.tracklist import look
from infra.errors import ConfigError
from infra.root.ledger import Tree
from infra.root.schemas import BYTES, MULTI, SINGLE, TRACK_ID, URI, VERSION, group_name, label_columns
from infra.root.songs import SongBlock
from infra.storage.store import Store, read_uri
from jobs.evaluate.inputs import Inputs, find_inputs
from jobs.evaluate.vectors import as_matrix
from jobs.extract.specification import specification
from jobs.represent.kinds import STORED, kind_of
from jobs.represent.model import load_model
from jobs.represent.worker import vector_table
from jobs.similar.index import find, known, prepare, read_places, some_vectors, wants_index
from jobs.similar.left_out import LeftOut

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Similar:
    """The neighbours of a query, most similar first, with their labels; whether all songs were compared.

    left_out: songs that were passed over: the query, and those of its group; group: what that is called, "" where none
    is left out.
    """

    model: str
    query: str
    exact: bool
    left_out: int
    group: str
    neighbours: tuple[Neighbour, ...]
    labels: tuple[tuple[str, ...], ...]


def run(
    config: Config, track: str | None = None, audio: str | None = None, k: int = 10, model: str | None = None
) -> Similar:
    """Find the k songs most like a track or an audio file; exactly one of the two is given.

    Raises ConfigError where there are no vectors, no such track, or no audio in the file.
    """
    inputs = find_inputs(Store(config.root), config.corpus, model)
    if (track is None) == (audio is None):
        raise ConfigError("expected one of --track ID and --audio FILE")
    if k < 1:
        raise ConfigError(f"--k {k}: expected 1 or more")
    kind = searched(inputs, config.similar)
    if track is not None:
        name, query = track_vector(inputs, track, kind)
        own = name
    else:
        name, query = str(audio), audio_vector(inputs, str(audio), kind, config.extract)
        own = same_track(inputs.tracks, name, config.index.compare_bytes)
    others = LeftOut(inputs.tracks, config.similar.same_group)
    without = others.of(own) if own else frozenset[str]()
    prepared = prepare(inputs, config.similar)
    found = find(inputs, config.similar, prepared, query, k, without)
    labels = words(inputs.tracks, [song.track_id for song in found])
    group = group_name(inputs.tracks) if own and others.knows_group(own) else ""
    return Similar(inputs.model, name, not prepared.indexed, len(without), group, tuple(found), tuple(labels))


def searched(inputs: Inputs, config: SimilarConfig) -> str:
    """The kind of vectors that are compared. Raises ConfigError where the model's songs have none."""
    kind = kind_of(config.kind, "similar.kind").name
    if kind not in inputs.kinds:
        raise ConfigError(
            f"similar.kind: the vectors of model {inputs.model} were made without {kind} (represent.without); "
            f"they have {', '.join(sorted(inputs.kinds))}"
        )
    return kind


def same_track(tracks: pa.Table, uri: str, budget: int) -> str | None:
    """The track of the list whose file has the same bytes as an audio file, if any; at most `budget` bytes are read."""
    query = look(uri if "://" in uri else str(Path(uri).absolute()), "")
    alike = tracks.filter(pc.equal(tracks[BYTES], query.bytes))  # pyright: ignore
    columns = (alike[name].to_pylist() for name in (URI, TRACK_ID, BYTES, VERSION))
    found = find_duplicates([query, *starmap(Found, zip(*columns, strict=True))], budget)
    return next((group[1] for group in found.groups if group[0] == query.name), None)


def track_vector(inputs: Inputs, track: str, kind: str) -> tuple[str, np.ndarray]:
    """The name and the vector (dim,) of a track: of that name, or the only one that ends with it after a slash."""
    songs = read_places(inputs)
    place = songs.filter(pc.equal(songs[TRACK_ID], track))  # pyright: ignore
    if not place.num_rows:
        place = songs.filter(pc.ends_with(songs[TRACK_ID], "/" + track))  # pyright: ignore
    if place.num_rows != 1:
        raise ConfigError(_not_found(inputs, songs[TRACK_ID], track, place.num_rows))
    (name,), (vector,) = some_vectors(inputs, place, kind)
    return name, vector


def _not_found(inputs: Inputs, names: Any, track: str, matches: int) -> str:
    where = f"--track {track}: {matches or 'no'} such tracks with a vector of model {inputs.model}"
    stem = track.rpartition("/")[2]
    close = names.filter(pc.match_substring(names, stem, ignore_case=True)).slice(0, 3).to_pylist()  # pyright: ignore
    return f"{where}; did you mean {', '.join(close)}?" if close else where


def audio_vector(inputs: Inputs, uri: str, kind: str, config: ExtractConfig) -> np.ndarray:
    """The vector (dim,) of an audio file, by the features and the model of the root.

    A network is the one that the configuration names: no record says where one lies. Raises ConfigError.
    """
    spec = read_specification(inputs)
    if spec.network:
        spec = replace(spec, network=named_network(spec.network, config))
    try:
        frames = extract(read_uri(uri), uri, spec).frames
    except FileNotFoundError:
        raise ConfigError(f"--audio {uri}: no such file") from None
    except BadTrack as bad:
        raise ConfigError(f"--audio {bad.message} ({bad.reason})") from None
    model, song = load_model(inputs.store, inputs.model), packed([frames])
    block = SongBlock([uri], [""], song.values, song.lengths)
    return as_matrix(vector_table(model, block, 1, {kind: STORED[kind]})[kind])[0]


def named_network(network: Network, config: ExtractConfig) -> Network:
    """The network that the configuration names. Raises ConfigError where it is not that of the root's features."""
    asked = specification(config).network
    if asked is None or asked != network:
        what = "none" if asked is None else f"{asked.reader} {asked.layer} of weights {asked.weights[:16]}"
        raise ConfigError(
            f"extract.network.path: the features are of {network.reader} {network.layer}, weights "
            f"{network.weights[:16]}; the configuration names {what}; name it with --set extract.network.path=..."
        )
    return asked


def read_specification(inputs: Inputs) -> FeatureSpec:
    """The specification of the root's features. Raises ConfigError if this program would compute others."""
    stored = Tree(inputs.store, inputs.feature_prefix).read_spec()
    try:
        spec = replace(
            FeatureSpec.from_json(stored), revision=FeatureSpec.revision
        )  # that is the code's, not a choice
    except ValueError as error:
        raise ConfigError(f"{inputs.store.uri(inputs.feature_prefix)}: {error}") from None
    here = spec.to_json()
    theirs, mine = stored.pop("libraries", None), here.pop("libraries")
    if stored != here:
        raise ConfigError(
            f"{inputs.store.uri(inputs.feature_prefix)}: features of another version of this program"
        )
    if theirs != mine:
        log.warning(
            "similar: the root's features were made with other library versions; last digits may differ"
        )
    return spec


def words(tracks: pa.Table, ids: Sequence[str]) -> list[tuple[str, ...]]:
    """The labels of some tracks, of all label columns; () for a track that is not in the list."""
    wanted = pc.is_in(tracks[TRACK_ID], pa.array(ids, pa.string()))  # pyright: ignore
    rows = tracks.filter(wanted).to_pylist()
    columns = [found.column for found in label_columns(tracks) if found.kind in (SINGLE, MULTI)]
    found = {row[TRACK_ID]: tuple(word for name in columns for word in _listed(row[name])) for row in rows}
    return [found.get(track, ()) for track in ids]


def _listed(value: str | list[str] | None) -> list[str]:
    return [] if not value else [value] if isinstance(value, str) else value


def plan_text(config: Config, model: str | None = None) -> str:
    """What --dry-run prints."""
    inputs = find_inputs(Store(config.root), config.corpus, model)
    what = "an index" if wants_index(inputs, config.similar) else "the mean"
    state = "there" if known(inputs, config.similar) else "to be made"
    return f"similar: model {inputs.model}, {inputs.vectors.n_songs} songs by {config.similar.kind}; {what} is {state}"
