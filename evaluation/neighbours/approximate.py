"""An inverted-file index over song vectors (faiss): a query looks into the cells around it and nowhere else.

Cells are k-means centres of a sample of the directions; a cell's songs are kept as 16-bit floats, whose cosines are
right to three decimals: enough to say who may be near (`candidates`). The cosines themselves are then computed from
those songs' own vectors. Of the songs in the cells that are searched none is missed; those in other cells are.
"""

from collections.abc import Iterator

import faiss
import numpy as np

SAMPLE_PER_CELL = 64  # directions k-means is run on, per centre
ITERATIONS = 10
ROUNDING = 2.0**-11  # of a cosine at most, from 16-bit floats: so much of each number of a vector of length 1


def cells_for(songs: int) -> int:
    """A power of two near 4 sqrt(songs), with 39 songs a cell at least (faiss' own minimum)."""
    wanted = min(4 * songs**0.5, songs / 39)
    return max(1, 1 << int(np.log2(max(wanted, 1.0))))


def build(sample: np.ndarray, blocks: Iterator[np.ndarray], cells: int, seed: int) -> faiss.Index:
    """An index of the directions (song, dim) of all blocks, numbered in their order; sample (some, dim) of them.

    In memory: the sample, a block, and two bytes a number for the index. k-means starts from the seed.
    """
    dim = sample.shape[1]
    index = faiss.index_factory(dim, f"IVF{cells},SQfp16", faiss.METRIC_INNER_PRODUCT)
    inner = faiss.extract_index_ivf(index)
    inner.cp.seed, inner.cp.niter = seed, ITERATIONS
    inner.cp.min_points_per_centroid, inner.cp.max_points_per_centroid = 1, SAMPLE_PER_CELL
    index.train(np.ascontiguousarray(sample, np.float32))  # pyright: ignore
    for block in blocks:
        index.add(np.ascontiguousarray(block, np.float32))  # pyright: ignore
    return index


def search(index: faiss.Index, direction: np.ndarray, k: int, probes: int) -> list[tuple[int, float]]:
    """(number, cosine) of at most k songs, best first; direction (dim,), `probes` cells are searched."""
    faiss.extract_index_ivf(index).nprobe = probes
    cosines, numbers = index.search(np.ascontiguousarray(direction[None], np.float32), k)  # pyright: ignore
    return [(int(n), float(c)) for n, c in zip(numbers[0], cosines[0], strict=True) if n >= 0]


def candidates(index: faiss.Index, direction: np.ndarray, k: int, probes: int) -> list[int]:
    """Numbers of the songs in the searched cells that may be among the k nearest, ties of the last one included."""
    asked = k
    while True:
        asked *= 2
        found = search(index, direction, asked, probes)
        least = found[:k][-1][1] - 2.0 * ROUNDING if found else 0.0
        near = [number for number, cosine in found if cosine >= least]
        if len(near) < asked:
            return near


def to_bytes(index: faiss.Index) -> bytes:
    """The index as faiss writes it."""
    return faiss.serialize_index(index).tobytes()


def from_bytes(data: bytes) -> faiss.Index:
    """Inverse of `to_bytes`."""
    return faiss.deserialize_index(np.frombuffer(data, np.uint8))


def mapped(path: str) -> faiss.Index:
    """The index of a local file, whose cells are read when they are searched."""
    return faiss.read_index(path, faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY)
