"""Sums in float64 whose bits depend on the values and their order alone, on any machine."""

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class OrderedSum:
    """Sums of columns, added row after row."""

    def __init__(self) -> None:
        self._total: Floats | None = None

    def add(self, rows: Floats) -> None:
        """Add rows [rows, columns]."""
        total = np.zeros((1, rows.shape[1])) if self._total is None else self._total[None]
        # cumsum adds row after row; sum would add in an order of numpy's choice
        self._total = np.cumsum(np.concatenate([total, rows]), axis=0)[-1].copy()

    @property
    def total(self) -> Floats:
        """The sums so far, [columns]; there have been rows."""
        assert self._total is not None, "rows were added"
        return self._total


class Spread:
    """Sums of squared deviations of columns from their means, and whether a column is constant.

    The deviations of each block from its own mean are summed, and two blocks are merged by Chan's
    formula: nothing cancels where the mean is large.
    """

    def __init__(self) -> None:
        self._count = 0
        self._mean, self._squares = np.zeros(0), np.zeros(0)
        self._low, self._high = np.zeros(0), np.zeros(0)

    def add(self, rows: Floats) -> None:
        """Add a block of rows [rows, columns], at least one."""
        count, mean = len(rows), _sum_rows(rows) / len(rows)
        squares = _sum_rows((rows - mean) ** 2)
        low, high = rows.min(axis=0), rows.max(axis=0)
        if self._count:
            total, shift = self._count + count, mean - self._mean
            squares = self._squares + squares + shift**2 * (self._count * count / total)
            mean = self._mean + shift * (count / total)
            low, high = np.minimum(self._low, low), np.maximum(self._high, high)
        self._count += count
        self._mean, self._squares, self._low, self._high = mean, squares, low, high

    @property
    def squares(self) -> Floats:
        """Sums of squared deviations, [columns]; exactly 0 for a constant column."""
        return np.where(self._low == self._high, 0.0, self._squares)


def mean_of(values: Floats) -> float:
    """Return the mean of values [n], added one after another."""
    return plain(float(np.cumsum(values)[-1]) / len(values))


def plain(value: float) -> float:
    """Return the value; of the many encodings of NaN always the same."""
    return math.nan if math.isnan(value) else value


def _sum_rows(rows: Floats) -> Floats:
    sums: Floats = np.cumsum(rows, axis=0)[-1]
    return sums
