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
        missing_numbers = self._reader.parser.missing_numbers
        if len(missing_numbers):
            is_number &= ~np.isin(values, missing_numbers)
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
        is_short = lengths.ravel()[unknown] <= MAX_CELL_BYTES
        keys = make_keys(grid, unknown)
        is_seen = self._seen.find(keys) & is_short
        kinds, values = self._seen.get(keys.slots[is_seen])
        cells.kinds.ravel()[unknown[is_seen]] = kinds
        cells.values.ravel()[unknown[is_seen]] = values
        new = np.flatnonzero(~is_seen)
        if not len(new):
            return
        by_column = new[np.argsort(keys.columns[new], kind="stable")]
        borders = np.flatnonzero(np.diff(keys.columns[by_column])) + 1
        for group in np.split(by_column, borders):
            column, rows = int(keys.columns[group[0]]), unknown[group] // grid.columns
            new_cells = self._reader.read_column(column, grid.texts(rows, column))
            cells.kinds[rows, column], cells.values[rows, column] = new_cells
            short, at = group[is_short[group]], rows[is_short[group]]
            self._seen.add(keys, short, cells.kinds[at, column], cells.values[at, column])


def _is_blank(characters: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return where a byte may be a blank, or a part of one, around a cell."""
    return (characters <= SPACE) | (characters >= DELETE)
