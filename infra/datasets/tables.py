"""Tables that people bring: CSV, TSV or Parquet files at a path or s3:// address."""

import csv
import io
import re

import pyarrow as pa
from pyarrow import csv as arrow_csv

from infra.errors import ConfigError, StorageError
from infra.storage.parquet import decode
from infra.storage.store import read_uri

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
    delimiter = "\t" if uri.lower().endswith(".tsv") else _delimiter(data.split(b"\n", 1)[0])
    header = next(csv.reader(io.StringIO(data.decode()), delimiter=delimiter), [])
    if delimiter == "\t" and header and header[-1].lower() == "tags":
        data = _joined_tags(data.decode(), len(header)).encode()
    if not header or len(set(header)) < len(header):
        raise ConfigError(f"{uri}: the first line must name the columns, each once")
    return arrow_csv.read_csv(
        pa.BufferReader(data),
        parse_options=arrow_csv.ParseOptions(
            delimiter=delimiter,
            quote_char=not _has_bare_quotes(data, delimiter.encode(), len(header)) and '"',
            newlines_in_values=True,
        ),
        convert_options=arrow_csv.ConvertOptions(
            column_types={name: pa.string() for name in header}, strings_can_be_null=True, null_values=[""]
        ),
    )


def _delimiter(header: bytes) -> str:
    """The one that separates most names of the first line; a comma where none does."""
    unquoted = re.sub(rb'"[^"]*"', b"", header).decode(errors="replace")
    return max(",\t;", key=unquoted.count)


def _has_bare_quotes(data: bytes, delimiter: bytes, columns: int) -> bool:
    """Whether quotes belong to the values, as in a title `"Heroes" - live` that nobody quoted.

    A field begins with one and does not end with one, although every line has its fields: read as quotes, they would
    join lines up to the next such title, and give the first track the last one's labels. Where a value in quotes holds
    line ends and delimiters, so that each of its lines has as many fields as the header, this is wrong.
    """
    odd = rb'(?m)(?:^|%b)"[^%b\r\n]*[^"%b\r\n](?:%b|\r?$)' % ((re.escape(delimiter),) * 4)
    if not re.search(odd, data):
        return False
    return all(line.count(delimiter) == columns - 1 for line in data.splitlines() if line)


def _joined_tags(text: str, columns: int) -> str:
    """The table with a row's fields beyond the header joined by |: MTG-Jamendo's tables give each tag a field."""
    rows = [line.split("\t") for line in text.replace("\r\n", "\n").split("\n") if line]
    if max(map(len, rows)) <= columns:
        return text
    return "\n".join("\t".join([*row[: columns - 1], "|".join(row[columns - 1 :])]) for row in rows) + "\n"
