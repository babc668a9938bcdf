"""Tables that people bring: CSV, TSV or Parquet files at a path or s3:// address."""

import csv
import io

import pyarrow as pa
from pyarrow import csv as arrow_csv

from infra.errors import ConfigError, StorageError
from infra.shards import decode
from infra.storage import read_uri

SUFFIXES = (".csv", ".tsv", ".parquet")


def is_table(uri: str) -> bool:
    """Whether the name is that of a table."""
    return uri.lower().endswith(SUFFIXES)


def read_table(uri: str) -> pa.Table:
    """The table; every CSV value is a string, an empty one null. Raises ConfigError if it is not a table."""
    if not is_table(uri):
        raise ConfigError(f"{uri}: expected a {', '.join(SUFFIXES)} file")
    try:
        data = read_uri(uri)
    except FileNotFoundError:
        raise ConfigError(f"{uri}: no such file") from None
    except StorageError as error:
        if isinstance(error.__cause__, IsADirectoryError):
            raise ConfigError(f"{uri}: a folder, expected a table") from None
        raise
    try:
        return decode(data) if uri.lower().endswith(".parquet") else _parse(data, uri)
    except (pa.ArrowException, UnicodeDecodeError, csv.Error, OSError) as error:
        raise ConfigError(f"{uri}: not a readable table ({str(error).splitlines()[0]})") from None


def _parse(data: bytes, uri: str) -> pa.Table:
    data = data.removeprefix(b"\xef\xbb\xbf")
    first = data.split(b"\n", 1)[0]
    tabs = uri.lower().endswith(".tsv") or (b"\t" in first and b"," not in first)
    delimiter = "\t" if tabs else ","
    header = next(csv.reader(io.StringIO(data.decode()), delimiter=delimiter), [])
    if delimiter == "\t" and header and header[-1].lower() == "tags":
        data = _joined_tags(data.decode(), len(header)).encode()
    if not header or len(set(header)) < len(header):
        raise ConfigError(f"{uri}: the first line must name the columns, each once")
    return arrow_csv.read_csv(
        pa.BufferReader(data),
        parse_options=arrow_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        convert_options=arrow_csv.ConvertOptions(
            column_types={name: pa.string() for name in header}, strings_can_be_null=True, null_values=[""]
        ),
    )


def _joined_tags(text: str, columns: int) -> str:
    """The table with a row's fields beyond the header joined by |: MTG-Jamendo's tables give each tag a field."""
    rows = [line.split("\t") for line in text.replace("\r\n", "\n").split("\n") if line]
    if max(map(len, rows)) <= columns:
        return text
    return "\n".join("\t".join([*row[: columns - 1], "|".join(row[columns - 1 :])]) for row in rows) + "\n"
