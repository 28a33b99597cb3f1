"""Read JSON lines: one object per row, all with the names of the first. Knows no store.

JSON itself distinguishes numbers from texts; true and false count as texts.
"""

import json
from collections.abc import Iterator
from typing import Any

from jobs.datasets.formats.data_errors import (
    FITS_FLOAT32_RULE,
    MISSING_VALUE_RULE,
    DataErrors,
    data_error,
)
from jobs.datasets.formats.row_splitter import BOM, ByteBlock, RowSplitter
from jobs.datasets.formats.table import RowBlock, TableReader, Value, check_names, contiguous_blocks
from jobs.spec.base import FLOAT32_MAX

BOOLEAN_TEXTS = {True: "true", False: "false"}


class JsonlReader(TableReader):
    """Reads JSON lines. A row unlike the first is reported as an error and left out."""

    def __init__(
        self, errors: DataErrors, *, names: list[str] | None = None, first: int = 1, offset: int = 0
    ) -> None:
        super().__init__(errors, RowSplitter(has_quotes=False, offset=offset), names, first)
        self._types: list[str] = []

    def finish(self) -> Iterator[RowBlock]:
        """Yield the last rows. Raises BadData for a file without any."""
        yield from super().finish()
        if not self._types:
            self._errors.check()
            raise data_error("at least one row")

    def type_of(self, column: int) -> str | None:
        """Return the type of the value in the first row."""
        return self._types[column]

    def _read_block(self, block: ByteBlock) -> Iterator[RowBlock]:
        data = block.data.removeprefix(BOM) if block.offset == 0 else block.data
        yield from contiguous_blocks(self._number_rows(data.split(b"\n")), block.offset)

    def _number_rows(self, lines: list[bytes]) -> Iterator[tuple[int, list[Value] | None]]:
        for line in lines:
            number, row = self._next_row, self._parse_row(line)
            self._next_row += 1
            yield number, row

    def _parse_row(self, line: bytes) -> list[Value] | None:
        """Parse a line into values; report an error and return None if it is unlike the first."""
        if (fields := self._parse_object(line)) is None:
            return None
        if not self.names:
            self.names = list(fields)
            check_names(self.names or [""], self._errors)
        if fields.keys() != set(self.names):
            self._report_name_differences(fields)
            return None
        values = [fields[name] for name in self.names]
        if not self._types:
            self._types = ["number" if _is_number(value) else "category" for value in values]
        if all(map(self._check_value, range(len(values)), values)):
            return [BOOLEAN_TEXTS[item] if isinstance(item, bool) else item for item in values]
        return None

    def _parse_object(self, line: bytes) -> dict[str, Any] | None:
        try:
            parsed = json.loads(line.decode(), object_pairs_hook=_unique_names)
        except UnicodeDecodeError as error:
            rule = f"UTF-8, not the byte 0x{line[error.start]:02x}"
            raise data_error(rule, row=self._next_row) from None
        except (ValueError, RecursionError) as error:
            parsed, rule = None, f"a JSON object: {error}"
        else:
            rule = "a JSON object"
        if isinstance(parsed, dict):
            return parsed
        self._errors.add(self._next_row, None, rule, line[:200].decode(errors="replace"))
        return None

    def _report_name_differences(self, fields: dict[str, Any]) -> None:
        for name in self.names:
            if name not in fields:
                self._errors.add(self._next_row, name, MISSING_VALUE_RULE)
        for name in fields:
            if name not in self.names:
                self._errors.add(self._next_row, name, "no name that the first row has not")

    def _check_value(self, at: int, value: Any) -> bool:
        name, kind = self.names[at], self._types[at]
        if value is None or (isinstance(value, str) and not value.strip()):
            self._errors.add(self._next_row, name, MISSING_VALUE_RULE, value)
        elif isinstance(value, dict | list):
            self._errors.add(self._next_row, name, "a number or a text", value)
        elif kind == "number" and not _is_number(value):
            self._errors.add(self._next_row, name, "a number as in the first row", value)
        elif kind == "category" and _is_number(value):
            self._errors.add(self._next_row, name, "a text as in the first row", value)
        elif isinstance(value, str) and not _is_valid_text(value):
            self._errors.add(self._next_row, name, "no half of a surrogate pair", repr(value))
        elif _is_number(value) and not abs(value) <= FLOAT32_MAX:
            self._errors.add(self._next_row, name, FITS_FLOAT32_RULE, str(value)[:60])
        else:
            return True
        return False


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_valid_text(value: str) -> bool:
    return value.isascii() or not any("\ud800" <= char <= "\udfff" for char in value)


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("it has a name twice")
    return fields
