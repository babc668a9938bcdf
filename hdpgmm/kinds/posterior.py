"""The mean over frames of the posterior under a flat prior, as the paper has it; its logarithm and its square root."""

from hdpgmm.kinds.kind import Kind
from hdpgmm.represent import FLOOR, floored_log

MEAN = "the mean over frames of softmax_k E[log p(x|phi_k)]"
POSTERIOR = Kind(
    name="posterior",
    meaning=MEAN,
    compute=lambda batch: batch.vectors.posterior,
    stored=False,
)
POSTERIOR_LOG = Kind(
    name="posterior_log",
    meaning=f"log(max(p, {FLOOR:g})) of {MEAN}",
    compute=lambda batch: floored_log(batch.vectors.posterior),
    row="HDPGMM log posterior",
)
POSTERIOR_SQRT = Kind(
    name="posterior_sqrt",
    meaning=f"square root of {MEAN}",
    compute=lambda batch: batch.vectors.posterior.sqrt(),
    row="HDPGMM sqrt posterior",
)
