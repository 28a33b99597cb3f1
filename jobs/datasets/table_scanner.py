"""Scan a streamed table in bounded memory: its rows, what its cells are, where to begin reading.

Knows no type of a column: that follows from what is counted here.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobs.datasets.cell_reader import BlockCells, CellReader
from jobs.datasets.column_spellings import Spellings
from jobs.datasets.formats.cells import CellParser, Kind
from jobs.datasets.formats.table import RowBlock
from jobs.datasets.gap_patterns import GapPatterns
from jobs.datasets.grid_reader import GridReader
from jobs.datasets.number_statistics import NumberStatistics

#: a column with this many texts, which are not kept, is one of texts: no more is asked of it
MIN_SETTLED_TEXTS = 1000
#: blocks of at least as many rows are computed column by column, others row by row
MIN_LONG_ROWS = 16


class TableScanner:
    """Counts what the cells of all columns are."""

    def __init__(self, parser: CellParser, columns: int, *, has_typed_cells: bool) -> None:
        self._reader = CellReader(parser, columns, has_typed_cells=has_typed_cells)
        self._grid_reader = GridReader(self._reader)
        self.rows, self.row_offsets = 0, RowOffsets()
        #: cells by kind [kinds, columns], and the first row of each kind (0: there is none)
        self.counts = np.zeros((len(Kind), columns), np.int64)
        self.first_rows = np.zeros((len(Kind), columns), np.int64)
        self.numbers, self.times = NumberStatistics(columns), NumberStatistics(columns)
        self.gaps = GapPatterns()

    @property
    def parser(self) -> CellParser:
        """What reads its cells."""
        return self._reader.parser

    @property
    def spellings(self) -> Spellings:
        """The different texts of the columns."""
        return self._reader.spellings

    @property
    def has_texts(self) -> NDArray[np.bool_]:
        """Which columns of a format that tells numbers from texts have texts."""
        return self._reader.has_texts

    @property
    def is_settled(self) -> NDArray[np.bool_]:
        """Which columns are texts for good, whose numbers and times are no longer counted."""
        return self._reader.is_settled

    def add(self, block: RowBlock) -> None:
        """Add a block of rows."""
        if block.grid is not None:
            cells = self._grid_reader.read(block.grid)
        else:
            cells = self._reader.read_columns(block.columns)
        self._count(cells, block.first)
        self.rows = block.first + block.rows - 1
        self.row_offsets.add(block.first, block.offset)

    def _count(self, cells: BlockCells, first: int) -> None:
        kinds, values = _by_column(cells.kinds), _by_column(cells.values)
        for kind in Kind:
            mask = kinds == kind
            if not mask.any():
                continue
            counts = mask.sum(axis=1, dtype=np.int64)
            new = np.flatnonzero((counts > 0) & (self.first_rows[kind] == 0))
            self.first_rows[kind, new] = first + mask[new].argmax(axis=1)
            self.counts[kind] += counts
            if kind == Kind.MISSING:
                self.gaps.add(cells.kinds == kind)
            elif kind != Kind.TEXT:
                (self.numbers if kind == Kind.NUMBER else self.times).add(values, mask, counts)
        self._limit_spellings(cells)

    def _limit_spellings(self, cells: BlockCells) -> None:
        """Give up texts and settle columns, by what was counted: the same bytes, the same result.

        Where a column is texts for good, nothing depends any more on how many numbers it has.
        """
        for column in list(self.spellings.numbers):
            is_number = cells.kinds[:, column] == Kind.NUMBER
            self.spellings.count_numbers(column, cells.values[is_number, column])
        texts = self.counts[Kind.TEXT]
        self.spellings.limit_memory(texts == 0)
        others = np.maximum(self.counts[Kind.NUMBER], self.counts[Kind.TIME])
        is_text = (texts >= MIN_SETTLED_TEXTS) & (texts > others)
        self.is_settled[:] |= is_text & ~self.spellings.is_kept


def _by_column(cells: NDArray[Any]) -> NDArray[Any]:
    """Return cells [rows, columns] as [columns, rows], with columns of many rows contiguous."""
    return np.ascontiguousarray(cells.T) if len(cells) >= MIN_LONG_ROWS else cells.T


class RowOffsets:
    """At most 512 rows and their byte offsets, evenly spread over a file of any length."""

    MAX_ENTRIES = 512

    def __init__(self) -> None:
        self.entries: list[tuple[int, int]] = []
        self._stride, self._count = 1, 0

    def add(self, row: int, offset: int) -> None:
        """Add a block's first row."""
        if self._count % self._stride == 0:
            self.entries.append((row, offset))
        self._count += 1
        if len(self.entries) > self.MAX_ENTRIES:
            self.entries, self._stride = self.entries[::2], 2 * self._stride
