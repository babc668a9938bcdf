"""Label files as tables: those of public datasets by the reader of each, any other as the table it is."""

import pyarrow as pa

from infra.datasets.readers import READERS
from infra.datasets.readers.indicators import joined
from infra.datasets.tables import read_table


def read_labels(uri: str) -> pa.Table:
    """The label file as a table. Raises ConfigError for what is neither a table nor a file of one of READERS."""
    for reader in READERS:
        if (table := reader.read(uri)) is not None:
            return table
    table = joined(read_table(uri))
    for reader in READERS:
        table = reader.complete(table, uri)
    return table
