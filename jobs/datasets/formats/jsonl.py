"""Read JSON lines: one object per row, with the names of the first row. Knows no store.

JSON itself distinguishes numbers from texts. A name that a row lacks is a gap, as null is; a name
that the first row lacks is an error.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from jobs.datasets.formats.data_errors import DataErrors, data_error
from jobs.datasets.formats.jsonl_fields import MESSAGES, JsonFields, Row
from jobs.datasets.formats.row_splitter import BOM, NEWLINE, ByteBlock, RowSplitter
from jobs.datasets.formats.table import (
    MAX_NAME_CHARACTERS,
    RowBlock,
    StreamedReader,
    Value,
    check_names,
    contiguous_blocks,
)
from jobs.spec.profiles import Note

MAX_QUOTED_CHARACTERS = 200
MAX_BLOCK_CELLS = 1 << 18  # rows may lack most names, so that cells are far more than bytes
#: Python writes these, though JSON has no such numbers
CONSTANTS = {"NaN": None, "Infinity": "inf", "-Infinity": "-inf"}
NAME_PATTERN = re.compile(r'"\s*:')  # every name of an object ends so; a text may as well
OBJECT_RULE = "a JSON object"
LINES_HINT = "; one a line, not a list of all (pandas: to_json(orient='records', lines=True))"
TEXT_NAMES = (["text"], [MESSAGES])


class JsonlReader(StreamedReader):
    """Reads JSON lines. A row with an error is left out of the blocks."""

    file_rule = "JSON lines that can be read"

    def __init__(
        self, errors: DataErrors, *, names: list[str] | None = None, first: int = 1, offset: int = 0
    ) -> None:
        super().__init__(errors, RowSplitter(has_quotes=False, offset=offset), names, first)
        self._fields = JsonFields.from_names(names) if names else None

    def _read_rest(self) -> Iterator[RowBlock]:
        yield from super()._read_rest()
        if self._fields is None:
            self._errors.check()
            raise data_error("at least one row")

    def _read_block(self, block: ByteBlock) -> Iterator[RowBlock]:
        data = block.data.removeprefix(BOM) if block.offset == 0 else block.data
        lines = self._decode(data).split("\n")
        first = self._next_row
        rows = [self._parse_line(line, number) for number, line in enumerate(lines, first)]
        self._next_row += len(rows)
        if self._fields is None and (objects := [row for row in rows if row is not None]):
            self._set_fields(JsonFields.from_rows(objects))
        step = max(1, MAX_BLOCK_CELLS // max(1, len(self.names)))
        if len(rows) <= step:
            yield from self._read_rows(rows, first, block.offset)
            return
        newlines = np.flatnonzero(np.frombuffer(data, np.uint8) == NEWLINE)
        starts = [block.offset, *(newlines + 1 + block.offset + len(block.data) - len(data))]
        for at in range(0, len(rows), step):
            yield from self._read_rows(rows[at : at + step], first + at, int(starts[at]))

    def _read_rows(self, rows: list[Row | None], first: int, offset: int) -> Iterator[RowBlock]:
        """Yield rows that begin at a byte of the file; faults of theirs are reported."""
        objects = [row for row in rows if row is not None]
        if not objects:
            return
        assert self._fields is not None, "known once there is a row"
        columns = self._fields.read_columns(objects) if len(objects) == len(rows) else None
        if columns is not None:
            yield RowBlock(first, columns, offset)
        else:
            yield from contiguous_blocks(self._check_rows(rows, first), offset)

    def _set_fields(self, fields: JsonFields) -> None:
        self._fields, self.names = fields, fields.names
        check_names(self.names or [""], DataErrors())  # its own: rows may have errors already
        if self.names in TEXT_NAMES:
            detail = (
                "rows of one text: a language model reads them as text/plain "
                "(jq -r .text writes that), other families need further columns"
            )
            self.notes.append(Note(code="text_rows", column=self.names[0], detail=detail))

    def _check_rows(
        self, rows: list[Row | None], first: int
    ) -> Iterator[tuple[int, list[Value] | None]]:
        """Yield each row with its number, None instead of one with faults, which are reported."""
        assert self._fields is not None, "known once there is a row"
        for number, row in enumerate(rows, first):
            if row is None:
                yield number, None
                continue
            cells, faults = self._fields.read_row(row)
            for name, rule, value in faults:
                self._errors.add(number, name[:MAX_NAME_CHARACTERS], rule, _quote(value))
            yield number, None if faults else cells

    def _parse_line(self, line: str, number: int) -> Row | None:
        """Parse a line; report an error and return None for what is no object."""
        try:
            parsed = DECODER.decode(line)
            if isinstance(parsed, dict):
                if not _has_unique_names(line, parsed):
                    STRICT_DECODER.decode(line)
                return parsed
            rule = OBJECT_RULE + LINES_HINT
        except (ValueError, RecursionError) as error:
            rule = f"{OBJECT_RULE}: {error}"
        self._errors.add(number, None, rule, line[:MAX_QUOTED_CHARACTERS])
        return None

    def _decode(self, data: bytes) -> str:
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            number = self._next_row + data.count(b"\n", 0, error.start)
            rule = f"UTF-8, not the byte 0x{data[error.start]:02x}"
            raise data_error(rule, row=number) from None


def _has_unique_names(line: str, row: Row) -> bool:
    """Return False if the line may have a name twice: it has more names than the object."""
    return line.count(":") == len(row) or len(NAME_PATTERN.findall(line)) == len(row)


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("it has a name twice")
    return fields


def _quote(value: Any) -> str:
    try:
        return json.dumps(value)[:MAX_QUOTED_CHARACTERS]
    except RecursionError:  # it was parsed one level higher
        return "a deeply nested value"


DECODER = json.JSONDecoder(parse_constant=CONSTANTS.__getitem__)
STRICT_DECODER = json.JSONDecoder(
    parse_constant=CONSTANTS.__getitem__, object_pairs_hook=_unique_names
)
