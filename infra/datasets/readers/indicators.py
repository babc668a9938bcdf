"""Tables with a column of 0 and 1 for each tag, as MagnaTagATune's: one column `tags` of lists."""

import numpy as np
import pyarrow as pa

INDICATORS = 8  # columns of 0 and 1 from which on they are taken as tags


def joined(table: pa.Table) -> pa.Table:
    """Columns of 0 and 1, where there are many, as one column of lists: the names of those that are 1."""
    names = [name for name in table.column_names if _is_indicator(table[name])]
    if len(names) < INDICATORS or "tags" in table.column_names:
        return table
    flags = np.column_stack([table[name].cast(pa.string()).to_numpy() == "1" for name in names])
    tags = [[names[i] for i in np.flatnonzero(row)] for row in flags]
    return table.drop_columns(names).append_column("tags", pa.array(tags, pa.list_(pa.string())))


def _is_indicator(column: pa.ChunkedArray) -> bool:
    if not (pa.types.is_integer(column.type) or pa.types.is_string(column.type)) or column.null_count:
        return False
    return set(column.unique().cast(pa.string()).to_pylist()) <= {"0", "1"}
