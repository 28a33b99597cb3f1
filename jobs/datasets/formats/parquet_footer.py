"""Read the sizes in the footer of a Parquet file. Trusts none of them, and needs no pyarrow.

pyarrow's own metadata has them too, but asking it for a damaged column chunk ends the process.
"""

import os
import struct
from typing import BinaryIO, NamedTuple

from jobs.datasets.formats.data_errors import data_error
from jobs.datasets.formats.thrift_reader import MalformedStruct, ThriftReader

MAGIC, ENCRYPTED_MAGIC = b"PAR1", b"PARE"
MAX_FOOTER_BYTES = 1 << 24
FILE_RULE = "a Parquet file"
DELTA_LENGTHS, DELTA_PREFIXES = 6, 7  # encodings of texts


class ColumnChunk(NamedTuple):
    """The pages of a column in a row group: where they are, as the footer says."""

    column: str
    encodings: frozenset[int]
    values: int
    offset: int
    bytes: int


class RowGroup(NamedTuple):
    """Some rows of a file."""

    rows: int
    chunks: list[ColumnChunk]


def read_row_groups(file: BinaryIO) -> list[RowGroup]:
    """Return the row groups of a file. Raises BadData."""
    reader = ThriftReader(_read_footer(file))
    groups: list[RowGroup] = []
    try:
        for field, kind in reader.read_fields():
            if field == 4:
                length, item_kind = reader.read_list(kind)
                groups = [_read_group(reader, item_kind) for _ in range(length)]
            else:
                reader.skip(kind)
    except MalformedStruct as error:
        raise data_error(f"{FILE_RULE} with a footer that can be read: {error}") from None
    return groups


def _read_footer(file: BinaryIO) -> bytes:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 8))
    end = file.read(8)
    if end[4:] == ENCRYPTED_MAGIC:
        raise data_error(f"{FILE_RULE} that is not encrypted")
    if len(end) < 8 or end[4:] != MAGIC:
        raise data_error(FILE_RULE)
    (length,) = struct.unpack("<L", end[:4])
    if length > MAX_FOOTER_BYTES:
        raise data_error(f"{FILE_RULE} with a footer of at most {MAX_FOOTER_BYTES:,} bytes", length)
    if length > size - 8:
        raise data_error(f"{FILE_RULE}: its footer is longer than the file", length)
    file.seek(size - 8 - length)
    return file.read(length)


def _read_group(reader: ThriftReader, kind: int) -> RowGroup:
    reader.check_struct(kind)
    rows, chunks = 0, list[ColumnChunk]()
    for field, field_kind in reader.read_fields():
        if field == 1:
            length, item_kind = reader.read_list(field_kind)
            chunks = [_read_chunk(reader, item_kind) for _ in range(length)]
        elif field == 3:
            rows = reader.read_integer(field_kind)
        else:
            reader.skip(field_kind)
    if rows < 0:
        raise MalformedStruct("fewer rows than none")
    return RowGroup(rows, chunks)


def _read_chunk(reader: ThriftReader, kind: int) -> ColumnChunk:
    reader.check_struct(kind)
    chunk = None
    for field, field_kind in reader.read_fields():
        if field == 3:
            chunk = _read_chunk_metadata(reader, field_kind)
        else:
            reader.skip(field_kind)
    if chunk is None:
        raise MalformedStruct("a column without metadata")
    return chunk


def _read_chunk_metadata(reader: ThriftReader, kind: int) -> ColumnChunk:
    """Read encodings (field 2), path (3), number of values (5), size (7) and offsets (9, 11)."""
    reader.check_struct(kind)
    encodings, path, numbers = list[int](), list[str](), dict[int, int]()
    for field, field_kind in reader.read_fields():
        if field == 2:
            length, item_kind = reader.read_list(field_kind)
            encodings = [reader.read_integer(item_kind) for _ in range(length)]
        elif field == 3:
            length, item_kind = reader.read_list(field_kind)
            path = [reader.read_text(item_kind) for _ in range(length)]
        elif field in (5, 7, 9, 11):
            numbers[field] = reader.read_integer(field_kind)
        else:
            reader.skip(field_kind)
    offsets = [numbers[field] for field in (9, 11) if numbers.get(field, 0) > 0]
    if not offsets or numbers.get(5, -1) < 0 or numbers.get(7, -1) < 0:
        raise MalformedStruct("a column without its sizes")
    return ColumnChunk(".".join(path), frozenset(encodings), numbers[5], min(offsets), numbers[7])
