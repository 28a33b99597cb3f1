"""Measure the pages of a Parquet file before a library reads them: what memory will they take?

A page's header says how many bytes it has unpacked, and a library allocates them; the footer says
nothing of it that is checked. So all headers are read here, and no page.
"""

import io
from typing import BinaryIO, NamedTuple

from jobs.datasets.formats.data_errors import data_error
from jobs.datasets.formats.parquet_footer import DELTA_PREFIXES, ColumnChunk, RowGroup
from jobs.datasets.formats.thrift_reader import MalformedStruct, ThriftReader

USUAL_HEADER_BYTES = 256
MAX_HEADER_BYTES = 1 << 20  # with statistics of long texts
MAX_PAGE_BYTES = 1 << 27  # unpacked
#: of the largest pages of all columns of a row group, by the size of the file
MIN_OPEN_BYTES, OPEN_BYTES_PER_BYTE, MAX_OPEN_BYTES = 3 << 23, 4, 1 << 29
MAX_PAGES = 2_000_000
MAX_VALUES = 1 << 26  # of a column of lists in a row group
PREFIX_ALLOWANCE = 8  # times the usual bytes of a batch, which such texts will hardly ever take
DICTIONARY_FIELD = 7  # of a page header
HEADER_FIELDS = (5, DICTIONARY_FIELD, 8)
PAGES_RULE = "pages as the Parquet format describes them"


class GroupSize(NamedTuple):
    """Cells of a row group, and bytes of a row in memory, where they are the most."""

    cells: int
    row_bytes: float


class PageHeader(NamedTuple):
    """What the header of a page says, and its own length."""

    header_bytes: int
    unpacked: int
    packed: int
    values: int
    is_dictionary: bool


class PageScanner:
    """Reads the headers of all pages of a file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._size = file, file.seek(0, io.SEEK_END)
        self._count, self._measured = 0, 0

    def measure(self, group: RowGroup) -> GroupSize:
        """Measure a row group. Raises BadData for pages out of bounds."""
        cells, open_bytes, row_bytes = 0, 0, 0.0
        for chunk in group.chunks:
            if chunk.values != group.rows and chunk.values > MAX_VALUES:
                rule = f"row groups with at most {MAX_VALUES:,} values in a column of lists"
                raise data_error(rule, chunk.values, column=chunk.column)
            largest, density = self._measure_chunk(chunk)
            cells += chunk.values
            open_bytes += largest
            row_bytes += density * chunk.values / max(group.rows, 1)
        max_open_bytes = min(MAX_OPEN_BYTES, MIN_OPEN_BYTES + OPEN_BYTES_PER_BYTE * self._size)
        if open_bytes > max_open_bytes:
            rule = f"row groups whose open pages have at most {max_open_bytes:,} bytes in all"
            raise data_error(f"{rule} (write smaller row groups)", open_bytes)
        return GroupSize(cells, row_bytes)

    def _measure_chunk(self, chunk: ColumnChunk) -> tuple[int, float]:
        """Return the bytes of the largest pages, and the most bytes per value in a page."""
        position, stop = chunk.offset, chunk.offset + chunk.bytes
        self._measured += chunk.bytes
        if stop > self._size or self._measured > self._size:
            rule = f"{PAGES_RULE}; they end outside the file, or are those of several columns"
            raise data_error(rule, column=chunk.column)
        largest, dictionary, density, num_values = 0, 0, 0.0, 0
        while position < stop and num_values < chunk.values:
            page = self._read_page(position, chunk.column)
            position += page.header_bytes + page.packed
            if page.is_dictionary:
                dictionary = max(dictionary, page.unpacked)
                continue
            largest = max(largest, page.unpacked)
            density = max(density, page.unpacked / max(page.values, 1))
            num_values += page.values
        if DELTA_PREFIXES in chunk.encodings:  # each text may begin with all that went before it
            density = max(density, (largest + dictionary) / PREFIX_ALLOWANCE)
        return largest + dictionary, density

    def _read_page(self, position: int, column: str) -> PageHeader:
        self._count += 1
        if self._count > MAX_PAGES:
            raise data_error(f"at most {MAX_PAGES:,} pages (write larger row groups)")
        self._file.seek(position)
        data = self._file.read(USUAL_HEADER_BYTES)
        try:
            try:
                page = _parse_header(data)
            except MalformedStruct:
                page = _parse_header(data + self._file.read(MAX_HEADER_BYTES))
        except MalformedStruct as error:
            raise data_error(f"{PAGES_RULE}: {error}", column=column) from None
        if page.unpacked > MAX_PAGE_BYTES:
            rule = f"pages of at most {MAX_PAGE_BYTES:,} bytes unpacked (write smaller row groups)"
            raise data_error(rule, page.unpacked, column=column)
        return page


def _parse_header(data: bytes) -> PageHeader:
    """Read a page header: unpacked size (field 2), packed (3), and the header of its kind.

    The first field of that is the number of values.
    """
    reader, sizes, values, is_dictionary = ThriftReader(data), dict[int, int](), 0, False
    for field, kind in reader.read_fields():
        if field in (2, 3):
            sizes[field] = reader.read_integer(kind)
        elif field in HEADER_FIELDS:
            reader.check_struct(kind)
            is_dictionary = field == DICTIONARY_FIELD
            values = _read_first_field(reader)
        else:
            reader.skip(kind)
    unpacked, packed = sizes.get(2, -1), sizes.get(3, -1)
    if min(unpacked, packed, values) < 0:
        raise MalformedStruct("a header without its sizes")
    if is_dictionary and values > unpacked:
        raise MalformedStruct("a dictionary of more values than bytes")
    return PageHeader(reader.position, unpacked, packed, values, is_dictionary)


def _read_first_field(reader: ThriftReader) -> int:
    number = -1
    for field, kind in reader.read_fields():
        if field == 1:
            number = reader.read_integer(kind)
        else:
            reader.skip(kind)
    return number
