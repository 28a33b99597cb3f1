"""Read the cells of a grid as what they are, as few of them one by one as possible."""

import numpy as np
from numpy.typing import NDArray

from jobs.datasets.cell_reader import BlockCells, CellReader
from jobs.datasets.formats.cell_grid import CellGrid
from jobs.datasets.formats.cells import Kind
from jobs.datasets.formats.decimals import read_decimals
from jobs.datasets.seen_cells import MAX_CELL_BYTES, Indices, SeenCells, make_keys

SPACE, DELETE = 32, 127  # bytes beyond these two may be blanks around a cell


class GridReader:
    """Reads plain decimals at once, looks up the cells that it has seen, and reads the others.

    Of columns whose texts are kept it looks up numbers as well.
    """

    def __init__(self, reader: CellReader) -> None:
        self._reader, self._seen = reader, SeenCells()
        tokens = reader.parser.missing_tokens
        self._max_token_bytes = max(len(token.encode()) for token in tokens)

    def read(self, grid: CellGrid) -> BlockCells:
        """Read all cells of a grid."""
        decimals = read_decimals(grid)
        values, is_number = decimals.values, decimals.is_read
        is_number &= ~self._reader.parser.may_be_missing(values)
        kinds = np.where(is_number, np.uint8(Kind.NUMBER), np.uint8(Kind.TEXT))
        lengths = grid.ends - grid.starts
        kinds[lengths == 0] = Kind.MISSING
        cells = BlockCells(kinds, values)
        is_unknown = self._find_unknown(grid, is_number, lengths)
        self._look_up(grid, cells, np.flatnonzero(is_unknown), lengths)
        return cells

    def _find_unknown(
        self, grid: CellGrid, is_number: NDArray[np.bool_], lengths: Indices
    ) -> NDArray[np.bool_]:
        """Return which cells decimals alone do not settle [rows, columns]."""
        is_kept, is_settled = self._reader.spellings.is_kept, self._reader.is_settled
        is_unknown = ~is_number
        if is_kept.any():
            is_unknown |= is_kept
        if is_settled.any():
            first, last = grid.bytes[grid.starts], grid.bytes[grid.ends - 1]
            may_be_missing = (lengths <= self._max_token_bytes) | _is_blank(first) | _is_blank(last)
            is_unknown &= ~is_settled | may_be_missing
        is_unknown &= lengths > 0
        return is_unknown

    def _look_up(
        self, grid: CellGrid, cells: BlockCells, unknown: Indices, lengths: Indices
    ) -> None:
        """Look up cells, and read and remember those that are new."""
        if not len(unknown):
            return
        kinds, values = cells.kinds.ravel(), cells.values.ravel()
        keys = make_keys(grid, unknown)
        is_short = lengths.ravel()[unknown] <= MAX_CELL_BYTES
        is_seen = self._seen.find(keys) & is_short
        other = np.flatnonzero(is_seen & (kinds[unknown] != Kind.NUMBER))  # the rest is known
        kinds[unknown[other]], values[unknown[other]] = self._seen.get(keys.slots[other])
        new = np.flatnonzero(~is_seen)
        if not len(new):
            return
        is_number = kinds[unknown[new]] == Kind.NUMBER
        self._add_numbers(grid, cells, unknown[new[is_number]])
        self._read_others(grid, cells, unknown[new[~is_number]])
        short = new[is_short[new]]
        self._seen.add(keys, short, kinds[unknown[short]], values[unknown[short]])

    def _add_numbers(self, grid: CellGrid, cells: BlockCells, new: Indices) -> None:
        """Remember numbers that have been read, of any columns."""
        columns = grid.column_numbers[new].tolist()
        numbers = zip(columns, grid.texts(new), cells.values.ravel()[new].tolist(), strict=True)
        self._reader.spellings.add_numbers(numbers)

    def _read_others(self, grid: CellGrid, cells: BlockCells, new: Indices) -> None:
        """Read cells that decimals leave, column by column."""
        columns = grid.column_numbers[new]
        by_column = np.argsort(columns, kind="stable")
        borders = np.flatnonzero(np.diff(columns[by_column])) + 1
        for group in np.split(new[by_column], borders) if len(new) else ():
            column, rows = int(group[0] % grid.columns), group // grid.columns
            new_cells = self._reader.read_column(column, grid.texts(group))
            cells.kinds[rows, column], cells.values[rows, column] = new_cells


def _is_blank(characters: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return where a byte may be a blank, or a part of one, around a cell."""
    return (characters <= SPACE) | (characters >= DELETE)
