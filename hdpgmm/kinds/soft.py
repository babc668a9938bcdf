"""The posterior with the evidence of a few features in place of a whole frame's, whose features repeat each other."""

from hdpgmm.kinds.kind import Kind
from hdpgmm.represent import FEATURES

MEAN = f"the mean over frames of softmax_k({FEATURES} E[log p(x|phi_k)] / dim)"
SOFT = Kind(
    name="soft",
    meaning=MEAN,
    compute=lambda batch: batch.vectors.soft,
    stored=False,
)
SOFT_SQRT = Kind(
    name="soft_sqrt",
    meaning=f"square root of {MEAN}",
    compute=lambda batch: batch.vectors.soft.sqrt(),
    row="HDPGMM soft posterior",
)
