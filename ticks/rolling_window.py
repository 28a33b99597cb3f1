"""The newest values of one metric with their ticks, for means over windows. Knows no stop rule."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

MAX_EXTRA_VALUES = 1024  # values held beyond twice the span before old ones are dropped


class RollingWindow:
    """The values of the last `span` ticks, however many were added at a time."""

    def __init__(self, span: int) -> None:
        self.span = span
        self._ticks: list[NDArray[np.int64]] = []
        self._values: list[NDArray[np.float64]] = []
        self._count = 0

    def add(self, ticks: ArrayLike, values: ArrayLike) -> None:
        """Add values (stored as float64) at ticks later than all added before; scalars or [n]."""
        self._ticks.append(np.asarray(ticks, dtype=np.int64).reshape(-1))
        self._values.append(np.asarray(values, dtype=np.float64).reshape(-1))
        self._count += len(self._values[-1])
        if self._count > 2 * self.span + MAX_EXTRA_VALUES and len(self._ticks[-1]):
            self.trim(int(self._ticks[-1][-1]))

    def trim(self, tick: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Drop all values up to tick - span; return the ticks (int64) and values left, both [n]."""
        ticks = np.concatenate([np.empty(0, np.int64), *self._ticks])
        values = np.concatenate([np.empty(0, np.float64), *self._values])
        is_recent = ticks > tick - self.span
        self.restore(ticks[is_recent], values[is_recent])
        return self._ticks[0], self._values[0]

    def restore(self, ticks: NDArray[np.int64], values: NDArray[np.float64]) -> None:
        """Replace all values by these, both [n]."""
        self._ticks, self._values, self._count = [ticks], [values], len(values)

    def mean(self, after: int, tick: int) -> float:
        """Return the mean over the ticks (after, tick], added in order; NaN without a value."""
        ticks, values = self.trim(tick)
        selected = values[(ticks > after) & (ticks <= tick)]
        if not len(selected):
            return math.nan
        # cumsum adds one after another; the order of sum depends on numpy and the CPU.
        with np.errstate(invalid="ignore", over="ignore"):
            return float(np.cumsum(selected)[-1] / len(selected))
