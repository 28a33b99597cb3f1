"""Count, mean, deviation and range of the numbers of many columns, as their rows stream by.

The sums are float64, taken block by block in the order of the file, so that the same bytes always
give the same result; blocks are combined by deviations from their means (Chan), which stays
accurate where sums of squares would not.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Counts = NDArray[np.int64]


class NumberStatistics:
    """Statistics of `columns` columns."""

    def __init__(self, columns: int) -> None:
        self.count = np.zeros(columns, np.int64)
        self.low, self.high = np.full(columns, np.inf), np.full(columns, -np.inf)
        self._mean, self._squares = np.zeros(columns), np.zeros(columns)

    def add(self, values: Floats, mask: Mask, count: Counts) -> None:
        """Add values [columns, rows], of which those in the mask count: `count` of each column."""
        is_full = count == values.shape[1]
        if is_full.all():
            self._add(slice(None), values, count)
            return
        full, partial = np.flatnonzero(is_full), np.flatnonzero(~is_full & (count > 0))
        if len(full):
            self._add(full, values[full], count[full])
        if len(partial):
            self._add(partial, values[partial], count[partial], mask[partial])

    def _add(
        self, at: slice | Counts, values: Floats, count: Counts, mask: Mask | None = None
    ) -> None:
        """Add values [columns, rows] of the columns `at`; without a mask all of them."""
        low = values if mask is None else np.where(mask, values, np.inf)
        high = values if mask is None else np.where(mask, values, -np.inf)
        summands = values if mask is None else np.where(mask, values, 0)
        mean = summands.sum(axis=1) / count
        offsets = values - mean[:, None]
        if mask is not None:
            offsets[~mask] = 0
        self.low[at] = np.minimum(self.low[at], low.min(axis=1))
        self.high[at] = np.maximum(self.high[at], high.max(axis=1))
        self._combine(at, count, mean, np.einsum("ij,ij->i", offsets, offsets))

    def restore(
        self, column: int, count: int, limits: tuple[float, float], mean: float, deviation: float
    ) -> None:
        """Set what is known of a column without statistics yet, to go on from there."""
        self.count[column], (self.low[column], self.high[column]) = count, limits
        self._mean[column], self._squares[column] = mean, deviation**2 * count

    def mean(self, column: int) -> float:
        """Return the mean of a column with numbers; of equal ones, their value."""
        low, high = float(self.low[column]), float(self.high[column])
        return low if low == high else float(np.clip(self._mean[column], low, high))

    def deviation(self, column: int) -> float:
        """Return the (biased) standard deviation of a column with numbers; 0 for equal ones."""
        if self.low[column] == self.high[column]:
            return 0.0
        return float(np.sqrt(self._squares[column] / self.count[column]))

    def _combine(self, at: slice | Counts, count: Counts, mean: Floats, squares: Floats) -> None:
        before, total = self.count[at], self.count[at] + count
        difference = mean - self._mean[at]
        self._squares[at] += squares + np.square(difference) * before * (count / total)
        self._mean[at] += difference * (count / total)
        self.count[at] = total
