"""JSON lines: an object a row, all with the names of the first. Numbers and texts are told apart
by JSON itself; true and false are texts. Knows no store.
"""

import json
from collections.abc import Iterator
from typing import Any

from jobs.datasets.formats.cutter import Block, Cutter
from jobs.datasets.formats.faults import Faults, refuse
from jobs.datasets.formats.table import Table, Value, check_names, runs
from jobs.spec.base import FLOAT32_MAX

BOM = b"\xef\xbb\xbf"
SPELLED = {True: "true", False: "false"}


class JsonlReader:
    """Reads JSON lines. A row that is not like the first is a fault and left out of the blocks."""

    def __init__(
        self, faults: Faults, *, names: list[str] | None = None, first: int = 1, offset: int = 0
    ) -> None:
        self.names = names or []
        self._faults, self._next = faults, first
        self._types: list[str] = []
        self._cutter = Cutter(quotes=False, offset=offset)

    def feed(self, data: bytes) -> Iterator[Table]:
        """Take some more bytes; give the rows that are whole now."""
        for block in self._cutter.feed(data):
            yield from self._read(block)

    def finish(self) -> Iterator[Table]:
        """Give the last rows."""
        for block in self._cutter.finish():
            yield from self._read(block)
        if not self._types:
            self._faults.check()
            raise refuse(None, None, "at least one row")

    def type_of(self, column: int) -> str | None:
        """The type of the first row's value."""
        return self._types[column]

    def _read(self, block: Block) -> Iterator[Table]:
        data = block.data.removeprefix(BOM) if block.offset == 0 else block.data
        yield from runs(self._numbered(data.split(b"\n")), block.offset)

    def _numbered(self, lines: list[bytes]) -> Iterator[tuple[int, list[Value] | None]]:
        for line in lines:
            number, row = self._next, self._row(line)
            self._next += 1
            yield number, row

    def _row(self, line: bytes) -> list[Value] | None:
        """Read one line; None (and a fault) where it is not like the first."""
        found = self._object(line)
        if found is None:
            return None
        if not self.names:
            self.names = list(found)
            check_names(self.names or [""], self._faults)
        if found.keys() != set(self.names):
            self._other_names(found)
            return None
        values = [found[name] for name in self.names]
        if not self._types:
            self._types = ["number" if _is_number(value) else "category" for value in values]
        if all(map(self._fits, range(len(values)), values)):
            return [SPELLED[each] if isinstance(each, bool) else each for each in values]
        return None

    def _object(self, line: bytes) -> dict[str, Any] | None:
        try:
            found = json.loads(line.decode(), object_pairs_hook=_pairs)
        except UnicodeDecodeError as error:
            rule = f"UTF-8, not the byte 0x{line[error.start]:02x}"
            raise refuse(self._next, None, rule) from None
        except (ValueError, RecursionError) as error:
            self._faults.add(self._next, None, f"a JSON object: {error}", _shown(line))
            return None
        if not isinstance(found, dict):
            self._faults.add(self._next, None, "a JSON object", _shown(line))
            return None
        return found

    def _other_names(self, found: dict[str, Any]) -> None:
        for name in self.names:
            if name not in found:
                self._faults.add(self._next, name, "a value: it is missing")
        for name in found:
            if name not in self.names:
                self._faults.add(self._next, name, "no name that the first row has not")

    def _fits(self, at: int, value: Any) -> bool:
        name, kind = self.names[at], self._types[at]
        if value is None or (isinstance(value, str) and not value.strip()):
            self._faults.add(self._next, name, "a value: it is missing", value)
        elif isinstance(value, dict | list):
            self._faults.add(self._next, name, "a number or a text", value)
        elif kind == "number" and not _is_number(value):
            self._faults.add(self._next, name, "a number as in the first row", value)
        elif kind == "category" and _is_number(value):
            self._faults.add(self._next, name, "a text as in the first row", value)
        elif isinstance(value, str) and not _is_text(value):
            self._faults.add(self._next, name, "no half of a surrogate pair", repr(value))
        elif _is_number(value) and not abs(value) <= FLOAT32_MAX:
            self._faults.add(self._next, name, "a finite number that fits float32", str(value)[:60])
        else:
            return True
        return False


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_text(value: str) -> bool:
    return value.isascii() or not any("\ud800" <= char <= "\udfff" for char in value)


def _shown(line: bytes) -> str:
    return line[:200].decode(errors="replace")


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("it has a name twice")
    return made
