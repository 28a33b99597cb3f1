"""Read CSV (RFC 4180) with a header row; quotes, CRLF and a BOM are allowed.

Knows no type of a column.
"""

import csv
import re
from collections.abc import Iterator
from typing import cast

import numpy as np

from jobs.datasets.formats.data_errors import DataErrors, data_error
from jobs.datasets.formats.row_splitter import BOM, NEWLINE, ByteBlock, RowSplitter
from jobs.datasets.formats.table import (
    DELIMITERS,
    RowBlock,
    TableReader,
    Value,
    check_names,
    contiguous_blocks,
)
from jobs.spec.profiles import Delimiter


class CsvReader(TableReader):
    """Reads CSV. A row unlike the header is reported as an error and left out of the blocks.

    With `names` no header is read: the bytes begin with row `first` (from 1) at byte `offset`.
    """

    def __init__(
        self,
        errors: DataErrors,
        delimiter: Delimiter = "comma",
        *,
        names: list[str] | None = None,
        first: int = 1,
        offset: int = 0,
    ) -> None:
        super().__init__(errors, RowSplitter(has_quotes=True, offset=offset), names, first)
        self._delimiter = DELIMITERS[delimiter]
        self._row_pattern = _make_row_pattern(self._delimiter)

    def finish(self) -> Iterator[RowBlock]:
        """Yield the last rows. Raises BadData for a file without a header."""
        yield from super().finish()
        if not self.names:
            raise data_error("a header and at least one row")

    def _read_block(self, block: ByteBlock) -> Iterator[RowBlock]:
        if not self.names:
            block = self._take_header(block)
            if not block.data:
                return
        text = self._decode(block.data)
        if "\r" in text:
            text = text.replace("\r\n", "\n")
        is_plain = text.isascii() and "_" not in text
        columns = None if '"' in text else self._split_unquoted(block.data, text)
        if columns is None:
            yield from contiguous_blocks(self._split_rows(text), block.offset, is_plain=is_plain)
        else:
            yield RowBlock(self._next_row, columns, block.offset, is_plain)
            self._next_row += len(columns[0])

    def _take_header(self, block: ByteBlock) -> ByteBlock:
        """Read the names from the header and return the block after it."""
        data, offset = block.data, block.offset
        if data.startswith(BOM):
            data, offset = data[len(BOM) :], offset + len(BOM)
        size, quotes = 0, 0
        for line in data.split(b"\n"):
            size, quotes = size + len(line) + 1, quotes + line.count(b'"')
            if quotes % 2 == 0:
                break
        self.names = self._split_fields(self._decode(data[:size]).rstrip("\r\n")) or [""]
        check_names(self.names, self._errors)
        return ByteBlock(offset + size, data[size:])

    def _split_unquoted(self, data: bytes, text: str) -> list[list[Value]] | None:
        """Split unquoted rows into columns, all at once; None if a row has another width."""
        width = len(self.names)
        raw = np.frombuffer(data, np.uint8)
        ends = np.append(np.flatnonzero(raw == NEWLINE), len(raw))
        before = np.searchsorted(np.flatnonzero(raw == ord(self._delimiter)), ends)
        if not np.array_equal(before, np.arange(1, len(ends) + 1) * (width - 1)):
            return None
        cells = text.replace("\n", self._delimiter).split(self._delimiter)
        return cast(list[list[Value]], [cells[at::width] for at in range(width)])

    def _split_rows(self, text: str) -> Iterator[tuple[int, list[Value] | None]]:
        """Split row by row and report errors; yield (row number, fields or None)."""
        for row in _iter_rows(text):
            number = self._next_row
            self._next_row += 1
            yield number, cast(list[Value] | None, self._parse_row(row, number))

    def _parse_row(self, row: str, number: int) -> list[str] | None:
        fields = self._split_fields(row, number)
        if fields is None or len(fields) == len(self.names):
            return fields
        rule = f"{len(self.names)} fields as in the header, not {len(fields)}"
        self._errors.add(number, None, "not a blank row" if not row else rule, row[:200])
        return None

    def _split_fields(self, row: str, number: int | None = None) -> list[str] | None:
        if '"' not in row:
            return row.split(self._delimiter)
        if self._row_pattern.fullmatch(row):
            try:
                return next(csv.reader([row], delimiter=self._delimiter, strict=True))
            except csv.Error as error:  # a field longer than its limit
                self._errors.add(number, None, str(error), row[:200])
                return None
        rule = 'quotes around the whole field, and "" for a quote inside it'
        self._errors.add(number, None, rule, row[:200])
        return None

    def _decode(self, data: bytes) -> str:
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            before = data[: error.start]
            number = self._next_row + before.count(b"\n") if self.names else None
            at = before[before.rfind(b"\n") + 1 :].count(self._delimiter.encode())
            column = self.names[at] if at < len(self.names) else None
            rule = f"UTF-8, not the byte 0x{data[error.start]:02x}"
            raise data_error(rule, row=number, column=column) from None


def _iter_rows(text: str) -> Iterator[str]:
    """Split at newlines outside quotes."""
    lines: list[str] = []
    quotes = 0
    for line in text.split("\n"):
        lines.append(line)
        quotes += line.count('"')
        if quotes % 2 == 0:
            yield "\n".join(lines)
            lines, quotes = [], 0
    if lines:
        yield "\n".join(lines)


def _make_row_pattern(delimiter: str) -> re.Pattern[str]:
    """Compile the pattern of a row whose quotes follow RFC 4180."""
    escaped = re.escape(delimiter)
    field = f'(?:"(?:[^"]|"")*+"|[^"\n{escaped}]*+)'
    return re.compile(f"{field}(?:{escaped}{field})*+")
