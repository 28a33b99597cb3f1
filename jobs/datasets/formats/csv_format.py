"""Read CSV (RFC 4180), with or without a header; quotes, CRLF and a BOM are allowed.

A line break in a quoted cell is read as \\n, however the file spells it. Knows no type of a column.
"""

import csv
import re
from collections.abc import Iterator
from typing import cast

from jobs.datasets.formats.cell_grid import find_cells
from jobs.datasets.formats.cells import DECIMAL_SIGNS
from jobs.datasets.formats.csv_header import (
    complete_names,
    number_columns,
    suggest_delimiter,
    take_sep_line,
)
from jobs.datasets.formats.data_errors import DataErrors, data_error
from jobs.datasets.formats.row_splitter import BOM, ByteBlock, RowSplitter
from jobs.datasets.formats.table import (
    DELIMITERS,
    RowBlock,
    StreamedReader,
    Value,
    check_names,
    contiguous_blocks,
)
from jobs.spec.profiles import Note, ParseOptions

#: with delimiter=space any run of blanks separates, but not inside quotes
BLANK_RUNS = re.compile(rb'"(?:[^"]|"")*+"|[ \t]*\n[ \t]*|[ \t]+')
BLANK_RUNS_UNQUOTED = ((re.compile(rb"[ \t]+"), b" "), (re.compile(rb" ?\n ?"), b"\n"))


class CsvReader(StreamedReader):
    """Reads CSV. A row unlike the header is reported as an error and left out of the blocks.

    With `names` no header is read: the bytes begin with row `first` (from 1) at byte `offset`.
    """

    file_rule, has_typed_cells = "a CSV that can be read", False

    def __init__(
        self,
        errors: DataErrors,
        options: ParseOptions | None = None,
        *,
        names: list[str] | None = None,
        first: int = 1,
        offset: int = 0,
    ) -> None:
        self._options = options or ParseOptions()
        self._delimiter = DELIMITERS[self._options.delimiter]
        blanks = b" \t".replace(b"\t" if self._delimiter == "\t" else b"", b"")
        splitter = RowSplitter(has_quotes=True, offset=offset, blanks=blanks)
        super().__init__(errors, splitter, names, first)
        self._row_pattern = _make_row_pattern(self._delimiter)
        self._header: list[str] | None = None
        self._first_lines: list[str] = []  # that suggestions are made from

    def _read_rest(self) -> Iterator[RowBlock]:
        yield from super()._read_rest()
        if not self.names:
            has_header = self._options.header == "present"
            raise data_error("a header and at least one row" if has_header else "at least one row")

    def _read_block(self, block: ByteBlock) -> Iterator[RowBlock]:
        if not self.names:
            block = self._take_header(block)
            if not block.data:
                return
            self._name_columns(block.data)
        data = self._normalize(block.data)
        text = self._decode(data)
        decimal = DECIMAL_SIGNS[self._options.decimal]
        grid = find_cells(data, len(self.names), delimiter=self._delimiter, decimal=decimal)
        if grid is None:
            yield from contiguous_blocks(self._split_rows(text), block.offset)
        else:
            yield RowBlock(self._next_row, None, block.offset, grid)
            self._next_row += grid.rows

    def _take_header(self, block: ByteBlock) -> ByteBlock:
        """Take BOM, `sep=` line and header from the file's first block; return what is left."""
        if self._header is not None:
            return block
        size = len(BOM) if block.data.startswith(BOM) else 0
        sep_size, notes = take_sep_line(block.data[size:], self._options.delimiter)
        self.notes += notes
        size += sep_size
        self._header = []
        if self._options.header == "present":
            header_size = _first_row_size(block.data[size:])
            line = self._take_line(block.data[size : size + header_size])
            self._header = self._split_fields(line) or []
            self._errors.check()
            size += header_size
            if not "".join(self._header).strip():
                raise data_error("a header that names the columns in the first line")
        return ByteBlock(block.offset + size, block.data[size:])

    def _name_columns(self, data: bytes) -> None:
        """Name the columns, now that the first row has come."""
        line = self._take_line(data[: _first_row_size(data)])
        first_row = line.split(self._delimiter)
        if '"' in line and self._row_pattern.fullmatch(line):
            first_row = self._split_fields(line) or first_row
        assert self._header is not None, "it comes before the first row"
        if self._options.header == "absent":
            columns = number_columns(first_row)
        else:
            columns = complete_names(self._header, first_row)
        hint = suggest_delimiter(self._first_lines, self._options.delimiter)
        if hint and "\t" in "".join(columns.names):
            raise data_error(f"a header of printable names; {hint}", line[:200])
        check_names(columns.names, self._errors)
        self.names, self.index_column = columns.names, columns.index_column
        self.notes += columns.notes
        if len(self.names) == 1 and hint:
            self.notes.append(Note(code="one_column", column=self.names[0], detail=hint))

    def _take_line(self, data: bytes) -> str:
        """Decode one row, and keep it for suggestions."""
        line = self._decode(self._normalize(data)).removesuffix("\n")
        self._first_lines.append(line)
        return line

    def _normalize(self, data: bytes) -> bytes:
        """Spell line breaks as one newline, and delimiters that are runs of blanks as one."""
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n").removesuffix(b"\r")
        return _join_blanks(data) if self._delimiter == " " else data

    def _split_rows(self, text: str) -> Iterator[tuple[int, list[Value] | None]]:
        """Split row by row and report errors; yield (row number, fields or None)."""
        for row in _iter_rows(text):
            number = self._next_row
            self._next_row += 1
            yield number, cast(list[Value] | None, self._parse_row(row, number))

    def _parse_row(self, row: str, number: int) -> list[str] | None:
        fields = self._split_fields(row, number)
        if fields is None or (len(fields) == len(self.names) and row.strip(" ")):
            return fields
        if not row.strip():
            rule = "not a blank row"
        else:
            model = "header" if self._options.header == "present" else "first row"
            rule = f"{len(self.names)} fields as in the {model}, not {len(fields)}"
            if hint := suggest_delimiter([*self._first_lines, row], self._options.delimiter):
                rule += f"; {hint}"
        self._errors.add(number, None, rule, row[:200])
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
        if hint := suggest_delimiter([*self._first_lines, row], self._options.delimiter):
            rule += f"; {hint}"
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


def _first_row_size(data: bytes) -> int:
    """Return the length of the first row, with its newline."""
    size, quotes = 0, 0
    for line in data.split(b"\n"):
        size, quotes = size + len(line) + 1, quotes + line.count(b'"')
        if quotes % 2 == 0:
            break
    return size


def _join_blanks(data: bytes) -> bytes:
    """Spell each run of blanks outside quotes as one blank, and none at the ends of a row."""
    data = data.strip(b" \t")
    if b'"' in data:
        return BLANK_RUNS.sub(_join_run, data)
    for pattern, replacement in BLANK_RUNS_UNQUOTED:
        data = pattern.sub(replacement, data)
    return data


def _join_run(match: re.Match[bytes]) -> bytes:
    run: bytes = match[0]
    if run.startswith(b'"'):
        return run
    return b"\n" if b"\n" in run else b" "


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
