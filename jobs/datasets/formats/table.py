"""Blocks of table rows as columns of values, the same for all formats. Knows no type."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import cast

from jobs.datasets.formats.cell_grid import CellGrid
from jobs.datasets.formats.damage import refuse_damage
from jobs.datasets.formats.data_errors import DataErrors, data_error
from jobs.datasets.formats.row_splitter import ByteBlock, RowSplitter
from jobs.spec.profiles import MAX_COLUMNS, Delimiter, Note

Value = str | float | int | None  # None: null in JSON
MAX_NAME_CHARACTERS = 200

DELIMITERS: dict[Delimiter, str] = {
    "comma": ",",
    "semicolon": ";",
    "tab": "\t",
    "space": " ",
    "pipe": "|",
}


class RowBlock:
    """Consecutive rows: one list of values per column, or a grid of cells that become texts.

    `first` is a row number (from 1), `offset` the byte in the file where that row begins.
    """

    def __init__(
        self,
        first: int,
        columns: list[list[Value]] | None,
        offset: int,
        grid: CellGrid | None = None,
    ) -> None:
        assert (columns is None) != (grid is None), "either"
        self.first, self.offset, self.grid = first, offset, grid
        self.rows = len(columns[0]) if columns is not None else 0 if grid is None else grid.rows
        self._columns = columns

    @property
    def columns(self) -> list[list[Value]]:
        """The values of all columns."""
        if self._columns is None:
            assert self.grid is not None, "either"
            self._columns = cast(list[list[Value]], self.grid.all_texts())
        return self._columns


class TableReader(ABC):
    """Reads a table. `names` are its columns, known once the first rows are read."""

    #: what a file has to be, for one that cannot be read
    file_rule: str
    #: whether the format itself tells numbers from texts, so that a text is never a number
    has_typed_cells = True

    def __init__(self, errors: DataErrors, names: list[str] | None, first: int) -> None:
        self.names = names or []
        #: the position of a nameless row index that a tool wrote beside the data
        self.index_column: int | None = None
        #: what is doubtful about the file, known once its first rows are read
        self.notes: list[Note] = []
        self._errors, self._next_row = errors, first

    def feed(self, data: bytes) -> Iterator[RowBlock]:
        """Add the next bytes and yield the rows that can be read by now. Raises BadData."""
        with refuse_damage(self.file_rule):
            yield from self._read_piece(data)

    def finish(self) -> Iterator[RowBlock]:
        """Yield the last rows. Raises BadData, also for a file without any."""
        with refuse_damage(self.file_rule):
            yield from self._read_rest()

    @abstractmethod
    def _read_piece(self, data: bytes) -> Iterator[RowBlock]:
        """Add the next bytes and yield the rows that can be read by now."""

    @abstractmethod
    def _read_rest(self) -> Iterator[RowBlock]:
        """Yield the last rows."""


class StreamedReader(TableReader):
    """Reads a table whose rows are lines, as its bytes come."""

    def __init__(
        self, errors: DataErrors, splitter: RowSplitter, names: list[str] | None, first: int
    ) -> None:
        super().__init__(errors, names, first)
        self._splitter = splitter

    def _read_piece(self, data: bytes) -> Iterator[RowBlock]:
        for block in self._splitter.feed(data):
            yield from self._read_block(block)

    def _read_rest(self) -> Iterator[RowBlock]:
        for block in self._splitter.finish():
            yield from self._read_block(block)

    @abstractmethod
    def _read_block(self, block: ByteBlock) -> Iterator[RowBlock]:
        """Yield the rows of a block. Raises BadData."""


def contiguous_blocks(
    rows: Iterable[tuple[int, list[Value] | None]], offset: int
) -> Iterator[RowBlock]:
    """Group numbered rows into blocks, split at rows that are None."""
    first, pending = 0, list[list[Value]]()
    for number, row in rows:
        if row is not None:
            first = first if pending else number
            pending.append(row)
        elif pending:
            yield RowBlock(first, _transpose(pending), offset)
            pending = []
    if pending:
        yield RowBlock(first, _transpose(pending), offset)


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
