"""Label files as tables: those of public datasets by a reader of their own each, any other as the table it is.

A new dataset is one file here and one entry in READERS.
"""

import pyarrow as pa

from infra.datasets.readers import fma, lastfm, magnatagatune
from infra.datasets.readers.indicators import joined
from infra.datasets.tables import read_table

READERS = (lastfm.READER, fma.READER, magnatagatune.READER)


def read_labels(uri: str) -> pa.Table:
    """The label file as a table. Raises ConfigError for what is neither a table nor a file of one of READERS."""
    for reader in READERS:
        if reader.read is not None and reader.reads(uri):
            return reader.read(uri)
    table = joined(read_table(uri))
    for reader in READERS:
        table = reader.complete(table, uri)
    return table
