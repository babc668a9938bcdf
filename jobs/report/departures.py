"""Which components move the songs of the report away from the corpus, read from their Fisher vectors."""

from collections.abc import Sequence

import numpy as np
import torch

from evaluation.interpretation.departure import block_shares, cosines, directions
from evaluation.report.records import Departure, Departures
from hdpgmm.kinds.fisher import FISHER, blocks, mean_shifts
from infra.root.schemas import TRACK_ID
from jobs.evaluate.inputs import Inputs
from jobs.evaluate.vectors import as_matrix, vector_tables
from jobs.report.sound import traits_of
from jobs.represent.kinds import SHARES
from jobs.represent.model import LoadedModel

MOST = 5  # components named of a song
LEAST = 0.02  # of its distance, below which one is not named
TRACE = 0.01  # of a song, from which it has frames of a component


def find_departures(inputs: Inputs, model: LoadedModel, sample: Sequence[str]) -> dict[str, Departures]:
    """Of each song of the sample; none where vectors have no such kind.

    Songs are compared with those in the same shards, all of them, which bounds what is read of a large corpus: 4 comp
    dim bytes a song.
    """
    if FISHER.name not in inputs.kinds or not sample:
        return {}
    traits = traits_of(inputs.specification)
    weights = np.stack([*traits.values(), np.zeros(inputs.specification.n_features)])[:-1]
    # x - mean = whitened @ inverse(transform), so a trait's axis in whitened units is inverse(transform) @ weights.
    axes = np.linalg.solve(model.whitening.transform, weights.T).T
    wanted, kept = set(sample), {}
    count, total, told, having = 0, np.zeros(1), np.zeros(1), np.zeros(1)
    for table in vector_tables(inputs.store, inputs.vectors, [FISHER.name, SHARES.name], wanted):
        vectors = torch.from_numpy(as_matrix(table[FISHER.name]))
        parts = blocks(vectors, model.n_components).double().numpy()
        along = cosines(mean_shifts(vectors, model.state).numpy(), axes)
        has = as_matrix(table[SHARES.name]) >= TRACE
        count, total = count + len(parts), total + parts.sum(0)
        told, having = told + (along * has[:, :, None]).sum(0), having + has.sum(0)
        ids = table[TRACK_ID].to_pylist()
        kept |= {ids[i]: (parts[i], along[i], has[i]) for i in range(len(ids)) if ids[i] in wanted}
    mean, usual = total / max(1, count), told / np.maximum(1, having)[..., None]
    words = [(source.less_so, source.more_so) for source in traits]
    return {
        track: Departures(count, _parts(block_shares(part, mean), directions(along, usual, has), words))
        for track, (part, along, has) in kept.items()
    }


def _parts(shares: np.ndarray, signs: np.ndarray, words: Sequence[tuple[str, str]]) -> tuple[Departure, ...]:
    order = [int(k) for k in np.argsort(-shares, kind="stable")[:MOST] if shares[k] >= LEAST]
    return tuple(
        Departure(
            k,
            float(shares[k]),
            tuple(
                more if sign > 0 else less for sign, (less, more) in zip(signs[k], words, strict=True) if sign
            ),
        )
        for k in order
    )
