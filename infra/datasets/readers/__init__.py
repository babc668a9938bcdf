"""The registry of public datasets: label files, plays and splits that are no plain tables are read by a file each.

A new dataset is one file here and one entry in READERS. The first that knows a file reads it; Echonest's is the last,
because its triplets have no header to be known by.
"""

from infra.datasets.readers import echonest, fma, hetrec, lastfm, magnatagatune

READERS = (lastfm.READER, fma.READER, magnatagatune.READER, hetrec.READER, echonest.READER)
