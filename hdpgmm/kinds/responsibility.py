"""What the model itself says: the responsibilities of the HDP posterior, and the song's expected weights."""

from hdpgmm.kinds.kind import Kind

RESPONSIBILITY = Kind(
    name="responsibility",
    meaning="mean over frames of the HDP responsibilities",
    compute=lambda batch: batch.vectors.responsibility,
    row="HDPGMM responsibility",
)
EXPECTED = Kind(
    name="expected",
    meaning="E[weight of each component in the song]",
    compute=lambda batch: batch.vectors.expected,
)
