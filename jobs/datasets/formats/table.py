"""Blocks of table rows as columns of values, the same for all formats. Knows no type."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from jobs.datasets.formats.data_errors import DataErrors, data_error
from jobs.datasets.formats.row_splitter import ByteBlock, RowSplitter
from jobs.spec.profiles import Delimiter

Value = str | float | int | None  # None: null in JSON
MAX_COLUMNS = 10_000
MAX_NAME_CHARACTERS = 200

DELIMITERS: dict[Delimiter, str] = {
    "comma": ",",
    "semicolon": ";",
    "tab": "\t",
    "space": " ",
    "pipe": "|",
}


@dataclass(frozen=True)
class RowBlock:
    """Consecutive rows, one list of values per column; `first` is a row number (from 1)."""

    first: int
    columns: list[list[Value]]
    offset: int  # byte in the file where the block's first row begins
    is_plain: bool = True  # no text that float() would wrongly read as a number

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.columns[0])


class TableReader(ABC):
    """Reads a streamed table. `names` are its columns, known once the first rows are read."""

    def __init__(
        self, errors: DataErrors, splitter: RowSplitter, names: list[str] | None, first: int
    ) -> None:
        self.names = names or []
        self._errors, self._splitter, self._next_row = errors, splitter, first

    def feed(self, data: bytes) -> Iterator[RowBlock]:
        """Add the next bytes and yield the rows that are complete. Raises BadData."""
        for block in self._splitter.feed(data):
            yield from self._read_block(block)

    def finish(self) -> Iterator[RowBlock]:
        """Yield the last rows. Raises BadData, also for a file without any."""
        for block in self._splitter.finish():
            yield from self._read_block(block)

    def type_of(self, column: int) -> str | None:
        """Return the type that the format gives a column; None if the values decide."""
        return None

    @abstractmethod
    def _read_block(self, block: ByteBlock) -> Iterator[RowBlock]:
        """Yield the rows of a block. Raises BadData."""


def contiguous_blocks(
    rows: Iterable[tuple[int, list[Value] | None]], offset: int, *, is_plain: bool = True
) -> Iterator[RowBlock]:
    """Group numbered rows into blocks, split at rows that are None."""
    first, pending = 0, list[list[Value]]()
    for number, row in rows:
        if row is not None:
            first = first if pending else number
            pending.append(row)
        elif pending:
            yield RowBlock(first, _transpose(pending), offset, is_plain)
            pending = []
    if pending:
        yield RowBlock(first, _transpose(pending), offset, is_plain)


def _transpose(rows: list[list[Value]]) -> list[list[Value]]:
    return [list(column) for column in zip(*rows, strict=True)]


def check_names(names: list[str], errors: DataErrors) -> None:
    """Raise BadData for empty, unprintable, repeated or overlong column names, or too many.

    Checked before any row is read, since later errors name their column.
    """
    if len(names) > MAX_COLUMNS:
        raise data_error(f"at most {MAX_COLUMNS:,} columns", len(names))
    unique_names: set[str] = set()
    for at, name in enumerate(names):
        if not name.strip() or not name.isprintable() or len(name) > MAX_NAME_CHARACTERS:
            rule = f"a name of 1 to {MAX_NAME_CHARACTERS} printable characters for column {at + 1}"
            errors.add(None, None, rule, name)
        elif name in unique_names:
            errors.add(None, name, "a name of its own for every column", name)
        unique_names.add(name)
    errors.check()
