"""The posterior with the evidence of one feature in place of a whole frame's, whose features repeat each other."""

from jobs.represent.kinds.kind import Kind

SOFT = Kind(
    column="soft_sqrt",
    meaning="square root of the mean over frames of softmax_k(E[log p(x|phi_k)] / dim)",
    compute=lambda vectors: vectors.soft.sqrt(),
    row="HDPGMM soft posterior",
)
