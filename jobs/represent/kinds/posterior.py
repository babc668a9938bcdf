"""The mean over frames of the posterior under a flat prior, as the paper has it: its logarithm and its square root."""

from hdpgmm.represent import FLOOR, floored_log
from jobs.represent.kinds.kind import Kind

MEAN = "the mean over frames of softmax_k E[log p(x|phi_k)]"
LOG = Kind(
    column="posterior_log",
    meaning=f"log(max(p, {FLOOR:g})) of {MEAN}",
    compute=lambda vectors: floored_log(vectors.posterior),
    row="HDPGMM log posterior",
)
SQRT = Kind(
    column="posterior_sqrt",
    meaning=f"square root of {MEAN}",
    compute=lambda vectors: vectors.posterior.sqrt(),
    row="HDPGMM sqrt posterior",
)
