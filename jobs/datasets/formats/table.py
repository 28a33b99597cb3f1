"""Blocks of a table's rows as columns of values, whatever format they came in. Knows no type."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from jobs.datasets.formats.faults import Faults, refuse
from jobs.spec.profiles import Delimiter

Value = str | float | int
MOST_COLUMNS = 10_000
LONGEST_NAME = 200

DELIMITERS: dict[Delimiter, str] = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}


@dataclass(frozen=True)
class Table:
    """Some rows: a list of values a column. `first` is the number of the first row (from 1)."""

    first: int
    columns: list[list[Value]]
    offset: int  # of the block that they came in; its first row begins there
    plain: bool = True  # whether float() takes no text for a number that is none

    @property
    def rows(self) -> int:
        """How many rows."""
        return len(self.columns[0])


class Reader(Protocol):
    """Reads bytes that come in pieces. `names` are the columns, once the first rows are read."""

    names: list[str]

    def feed(self, data: bytes) -> Iterator[Table]:
        """Take some more bytes; give the rows that are whole now. Raises BadData."""
        ...

    def finish(self) -> Iterator[Table]:
        """Give the last rows. Raises BadData."""
        ...

    def type_of(self, column: int) -> str | None:
        """Return the type that the format itself gives a column; None where it is to be found."""
        ...


def runs(
    rows: Iterable[tuple[int, list[Value] | None]], offset: int, *, plain: bool = True
) -> Iterator[Table]:
    """Make tables of numbered rows, one of those between two rows that are None."""
    first, kept = 0, list[list[Value]]()
    for number, row in rows:
        if row is not None:
            first = first if kept else number
            kept.append(row)
        elif kept:
            yield Table(first, _columns(kept), offset, plain)
            kept = []
    if kept:
        yield Table(first, _columns(kept), offset, plain)


def _columns(rows: list[list[Value]]) -> list[list[Value]]:
    return [list(column) for column in zip(*rows, strict=True)]


def check_names(names: list[str], faults: Faults) -> None:
    """Refuse names that are no names, at once: nothing can be told of columns without."""
    if len(names) > MOST_COLUMNS:
        raise refuse(None, None, f"at most {MOST_COLUMNS:,} columns", len(names))
    seen: set[str] = set()
    for at, name in enumerate(names):
        if not name.strip() or not name.isprintable() or len(name) > LONGEST_NAME:
            rule = f"a name of 1 to {LONGEST_NAME} printable characters for column {at + 1}"
            faults.add(None, None, rule, name)
        elif name in seen:
            faults.add(None, name, "a name of its own for every column", name)
        seen.add(name)
    faults.check()
