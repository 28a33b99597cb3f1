"""Which rows of an epoch are in a tick's batch, counted from 0 in the epoch's order."""

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]


def count_epoch_rows(rows: int, size: int, *, drop_last: bool) -> int:
    """Return the rows of an epoch: all, or without those of a last batch of fewer than `size`."""
    return rows - (rows % size if drop_last else 0)


def batch_bounds(first: int, last: int, rows: int, size: int) -> tuple[list[int], Numbers, Numbers]:
    """Return epoch, first row and number of rows of each tick from first to last (from 1).

    Epochs and rows count from 0; `rows` are in an epoch, `size` in a batch.
    """
    epochs, positions = np.divmod(np.arange(first - 1, last), -(-rows // size))
    firsts = positions * size
    return epochs.tolist(), firsts, np.minimum(size, rows - firsts)
