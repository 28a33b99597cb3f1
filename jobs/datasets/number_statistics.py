"""Count, mean, deviation and range of the numbers of many columns, as their rows stream by.

The sums are float64, taken block by block in the order of the file, so that the same bytes always
give the same result; blocks are combined by deviations from their means (Chan), which stays
accurate where sums of squares would not.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


class NumberStatistics:
    """Statistics of `columns` columns."""

    def __init__(self, columns: int) -> None:
        self.count = np.zeros(columns, np.int64)
        self.low, self.high = np.full(columns, np.inf), np.full(columns, -np.inf)
        self._mean, self._squares = np.zeros(columns), np.zeros(columns)

    def add(self, values: Floats, mask: Mask) -> None:
        """Add values [rows, columns], of which those in the mask count."""
        count = np.count_nonzero(mask, axis=0)
        if count.all() and count.sum() == mask.size:
            low, high, sums = values.min(axis=0), values.max(axis=0), values.sum(axis=0)
            offsets = values - sums / count
        else:
            low = np.where(mask, values, np.inf).min(axis=0)
            high = np.where(mask, values, -np.inf).max(axis=0)
            sums = np.where(mask, values, 0).sum(axis=0)
            offsets = np.where(mask, values - sums / np.maximum(count, 1), 0)
        self._combine(count, sums / np.maximum(count, 1), np.square(offsets).sum(axis=0))
        np.minimum(self.low, low, out=self.low)
        np.maximum(self.high, high, out=self.high)

    def mean(self, column: int) -> float:
        """Return the mean of a column with numbers; of equal ones, their value."""
        low, high = float(self.low[column]), float(self.high[column])
        return low if low == high else float(np.clip(self._mean[column], low, high))

    def deviation(self, column: int) -> float:
        """Return the (biased) standard deviation of a column with numbers; 0 for equal ones."""
        if self.low[column] == self.high[column]:
            return 0.0
        return float(np.sqrt(self._squares[column] / self.count[column]))

    def _combine(self, count: NDArray[np.intp], mean: Floats, squares: Floats) -> None:
        total = np.maximum(self.count + count, 1)
        difference = mean - self._mean
        share = np.where(count > 0, count / total, 0)
        self._squares += squares + np.square(difference) * self.count * share
        self._mean += difference * share
        self.count += count
