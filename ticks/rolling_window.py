"""The newest values of one metric with their ticks, for means over windows. Knows no stop rule."""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

GROWTH_FACTOR = 1.25  # of the arrays, beyond what they must hold
MIN_CAPACITY = 1024
BLOCK_VALUES = 1 << 16  # that are added up at a time

Ticks = NDArray[np.int64]
Values = NDArray[np.float64]


class RollingWindow:
    """The values of the last `span` ticks, however many were added at a time.

    They lie side by side, 16 bytes each, in two arrays with room for a quarter more.
    """

    def __init__(self, span: int) -> None:
        self.span = span
        self._ticks: Ticks = np.empty(0, np.int64)
        self._values: Values = np.empty(0, np.float64)
        self._start = self._stop = 0  # of the live values

    def add(self, ticks: ArrayLike, values: ArrayLike) -> None:
        """Add values (stored as float64) at ticks later than all added before; scalars or [n]."""
        new_ticks = np.asarray(ticks, dtype=np.int64).reshape(-1)
        new_values = np.asarray(values, dtype=np.float64).reshape(-1)
        if not len(new_ticks):
            return
        if self._stop + len(new_ticks) > len(self._ticks):
            self._drop_before(int(new_ticks[-1]))
            self._make_room(len(new_ticks))
        end = self._stop + len(new_ticks)
        self._ticks[self._stop : end], self._values[self._stop : end] = new_ticks, new_values
        self._stop = end

    def trim(self, tick: int) -> tuple[Ticks, Values]:
        """Drop all values up to tick - span; return the ticks and values left, both [n].

        They share the window's memory: what is added later may move them.
        """
        self._drop_before(tick)
        live = slice(self._start, self._stop)
        return self._ticks[live], self._values[live]

    def restore(self, ticks: Ticks, values: Values) -> None:
        """Replace all values by copies of these, both [n]."""
        self._ticks, self._values = ticks.astype(np.int64), values.astype(np.float64)
        self._start, self._stop = 0, len(self._ticks)

    def mean(self, after: int, tick: int) -> float:
        """Return the mean over the ticks (after, tick], added in order; NaN without a value."""
        ticks, values = self.trim(tick)
        first, end = np.searchsorted(ticks, (after, tick), side="right")
        return _mean(values[first:end]) if end > first else math.nan

    def _drop_before(self, tick: int) -> None:
        live = self._ticks[self._start : self._stop]
        self._start += int(np.searchsorted(live, tick - self.span, side="right"))

    def _make_room(self, count: int) -> None:
        """Move the live values to the front, in larger arrays where they and `count` more need it.

        After that a quarter of them can come before the next move.
        """
        live = slice(self._start, self._stop)
        length = self._stop - self._start
        needed = max(MIN_CAPACITY, int(GROWTH_FACTOR * (length + count)))
        self._ticks = _move_to_front(self._ticks, live, needed)
        self._values = _move_to_front(self._values, live, needed)
        self._start, self._stop = 0, length


def _move_to_front(array: NDArray[Any], live: slice, needed: int) -> NDArray[Any]:
    target = array if len(array) >= needed else np.empty(needed, array.dtype)
    target[: live.stop - live.start] = array[live]
    return target


def _mean(values: Values) -> float:
    """Return the mean of values that are added one after another, as cumsum does.

    The order of `sum` would depend on numpy and the CPU.
    """
    total = np.float64(0.0)
    with np.errstate(invalid="ignore", over="ignore"):
        for first in range(0, len(values), BLOCK_VALUES):
            block = values[first : first + BLOCK_VALUES]
            total = np.cumsum(np.concatenate([[total], block]) if first else block)[-1]
        return float(total / len(values))
