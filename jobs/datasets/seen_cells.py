"""Remember what cells of a table were read as, to look up thousands of them at once.

This is a cache: a cell that it does not know is read anew. It holds cells of up to 16 bytes, by
their bytes and their column.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from jobs.datasets.formats.cell_grid import CellGrid
from jobs.datasets.formats.decimals import HIGH_BYTES

MAX_CELL_BYTES = 16
SLOT_BITS = 17
#: odd numbers without a pattern, by which keys are spread over the slots
MULTIPLIERS = np.array(
    [0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93], np.uint64
)
Words = NDArray[np.uint64]
Indices = NDArray[np.int64]


class CellKeys(NamedTuple):
    """Cells as their last and their first 8 bytes and their column, and the slot of each."""

    last: Words
    first: Words
    columns: Indices
    slots: Indices


class SeenCells:
    """One cell a slot: a newer one takes the place of an older one."""

    def __init__(self) -> None:
        slots = 1 << SLOT_BITS
        self._last, self._first = np.zeros(slots, np.uint64), np.zeros(slots, np.uint64)
        self._columns = np.full(slots, -1, np.int64)
        self._kinds, self._values = np.zeros(slots, np.uint8), np.zeros(slots)

    def find(self, keys: CellKeys) -> NDArray[np.bool_]:
        """Return which cells are known."""
        is_known: NDArray[np.bool_] = self._last.take(keys.slots) == keys.last
        is_known &= self._columns.take(keys.slots) == keys.columns
        is_known &= self._first.take(keys.slots) == keys.first
        return is_known

    def get(self, slots: Indices) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
        """Return kinds and values of known cells."""
        return self._kinds.take(slots), self._values.take(slots)

    def add(
        self,
        keys: CellKeys,
        at: Indices,
        kinds: NDArray[np.uint8] | int,
        values: NDArray[np.float64] | float,
    ) -> None:
        """Add the cells that have the keys at these positions."""
        slots = keys.slots[at]
        self._last[slots], self._first[slots] = keys.last[at], keys.first[at]
        self._columns[slots] = keys.columns[at]
        self._kinds[slots], self._values[slots] = kinds, values


def make_keys(grid: CellGrid, cells: Indices) -> CellKeys:
    """Return the keys of cells of at most 16 bytes; `cells` are positions in the flat grid."""
    ends = grid.ends.ravel().take(cells)
    lengths = ends - grid.starts.ravel().take(cells)
    last = grid.last_words.take(cells) & HIGH_BYTES.take(lengths, mode="clip")
    first = np.zeros_like(last)
    long = np.flatnonzero(lengths > 8)
    if len(long):
        masks = HIGH_BYTES.take(lengths[long] - 8, mode="clip")
        first[long] = grid.words_before(ends[long] - 8) & masks
    columns = grid.column_numbers.take(cells)
    mixed = last * MULTIPLIERS[0] ^ first * MULTIPLIERS[1]
    mixed ^= columns.view(np.uint64) * MULTIPLIERS[2]
    slots = ((mixed ^ (mixed >> np.uint64(29))) * MULTIPLIERS[3]) >> np.uint64(64 - SLOT_BITS)
    return CellKeys(last, first, columns, slots.view(np.int64))
