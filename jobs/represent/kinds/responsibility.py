"""What the model itself says: the responsibilities of the HDP posterior, and the song's expected weights."""

from jobs.represent.kinds.kind import Kind

RESPONSIBILITY = Kind(
    column="responsibility",
    meaning="mean over frames of the HDP responsibilities",
    compute=lambda vectors: vectors.responsibility,
    row="HDPGMM responsibility",
)
EXPECTED = Kind(
    column="expected",
    meaning="E[weight of each component in the song]",
    compute=lambda vectors: vectors.expected,
)
