"""nDCG of lists of songs made for users.

Equal scores count by the mean over their orders, so the order of the catalogue, which may follow popularity, earns
nothing.
"""

import numpy as np
from scipy.sparse import csr_matrix

from evaluation.probing.metrics.metric import ListMeasure, Metric


def ndcg(scores: np.ndarray, held: csr_matrix, seen: csr_matrix | None, k: int = 500) -> np.ndarray:
    """nDCG at k with binary gain, (user,) float64; nan for a user without a held-out song.

    scores (user, song), finite; held (user, song): the songs that count. Songs of `seen` are not recommended and do not
    count; None recommends them too, as the paper does. Discounts are 1 / log2(rank + 1) (Jarvelin and Kekalainen 2002);
    equal scores share the mean of their ranks' discounts (McSherry and Najork 2008).
    """
    gained = np.concatenate([[0.0], (1.0 / np.log2(np.arange(2, k + 2))).cumsum()])
    out = np.full(len(scores), np.nan)
    for user, row in enumerate(scores):
        wanted = held.indices[held.indptr[user] : held.indptr[user + 1]]
        offered = np.ones(len(row), dtype=bool)
        if seen is not None:
            offered[seen.indices[seen.indptr[user] : seen.indptr[user + 1]]] = False
            wanted = wanted[offered[wanted]]
        if len(wanted):
            ordered = np.sort(-row[offered])
            first = np.searchsorted(ordered, -row[wanted], side="left")
            last = np.searchsorted(ordered, -row[wanted], side="right")
            total = gained[np.minimum(last, k)] - gained[np.minimum(first, k)]
            out[user] = (total / (last - first)).sum() / gained[min(len(wanted), k)]
    return out


MEASURE = ListMeasure(
    (
        Metric(
            "ndcg",
            "nDCG",
            "how far up in a list of songs made from part of what a user played the rest of it stands; 1 is perfect",
            tested="users",
        ),
    ),
    lambda scores, held, seen, length: ndcg(scores, held, seen, length)[None],
)
