"""`python -m jobs.pca`: the principal components of a network's frames, for extract.network.pca."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import typer
from safetensors.numpy import save_file

from hdpgmm.data.whitening import Moments, moments
from infra import cli
from infra.config import Config
from infra.errors import ConfigError, StorageError
from infra.root.schemas import PATH, ROW, ROW_GROUP, TRACK_ID
from infra.root.songs import SongBlock, read_block, read_songs
from infra.storage.store import Store
from jobs.extract.specification import require_frames
from jobs.extract.work import feature_tree

Dimensions = Annotated[int, typer.Option("--dimensions", min=1, help="Components that are kept.")]
Out = Annotated[
    str, typer.Option("--out", metavar="FILE", help="Where the projection is written, as safetensors.")
]
Songs = Annotated[
    int, typer.Option("--songs", min=1, help="Songs of the corpus that are looked at, at most.")
]


def run(config: Config, out: str, dimensions: int = 64, songs: int = 1000) -> float:
    """Write the projection of the newest snapshot's frames; the share of their variance that it keeps.

    Raises ConfigError where there are no features, or fewer than `dimensions` of them.
    """
    store, spec = Store(config.root), require_frames(config.extract)
    tree = feature_tree(store, spec)
    snapshot = tree.latest(config.corpus)
    if snapshot is None:
        raise ConfigError(
            f"{store.uri(tree.prefix)}: no features of corpus {config.corpus!r}, run jobs.extract first"
        )
    if spec.network and spec.network.pca:
        raise ConfigError("extract.network.pca: a projection is found of frames without one, leave it out")
    if dimensions > spec.n_features:
        raise ConfigError(f"--dimensions {dimensions}: frames have {spec.n_features}")
    total = Moments(0, np.zeros(spec.n_features), np.zeros((spec.n_features, spec.n_features)))
    for block in _some(store, read_songs(store, snapshot), songs):
        total += moments(block.values)
    mean, components, kept = principal_components(total, dimensions)
    _write(out, {"mean": mean, "components": components})
    return kept


def principal_components(total: Moments, count: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Mean (dim,), the first components (count, dim), float32, and the share of the variance that they keep.

    Rows are the eigenvectors of the covariance by falling eigenvalue (Bishop 2006, section 12.1), the entry of each
    that is largest is positive. Raises ConfigError for fewer than two frames.
    """
    if total.count < 2:
        raise ConfigError(f"principal components of {total.count} frames: expected 2 or more")
    values, vectors = np.linalg.eigh(total.scatter / total.count)
    rows = vectors.T[::-1][:count]
    largest = np.take_along_axis(rows, np.abs(rows).argmax(1, keepdims=True), 1)
    kept = float(values[::-1][:count].sum() / max(values.sum(), np.finfo(float).tiny))
    return total.mean.astype(np.float32), np.ascontiguousarray(rows * np.sign(largest), np.float32), kept


def _some(store: Store, songs: pa.Table, most: int) -> Iterator[SongBlock]:
    """The frames of at most so many songs, evenly over their names."""
    ordered = songs.sort_by(TRACK_ID)
    chosen = ordered.take(
        np.unique(np.linspace(0, len(ordered) - 1, min(most, len(ordered))).astype(np.int64))
    )
    for path, group, row in zip(*(chosen[name].to_pylist() for name in (PATH, ROW_GROUP, ROW)), strict=True):
        yield read_block(store, path, group, [row])


def _write(out: str, tensors: dict[str, np.ndarray]) -> None:
    try:
        Path(out).absolute().parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, out)
    except OSError as error:
        raise StorageError(f"--out {out}: {error}") from None


@cli.command("extract")
def main(config: Config, out: Out, dimensions: Dimensions = 64, songs: Songs = 1000) -> None:
    """Principal components of a network's frames, a file for extract.network.pca."""
    kept = run(config, out, dimensions, songs)
    print(f"{out}: {dimensions} components keep {100 * kept:.1f} % of the variance")
