"""An axis of values: linear or logarithmic, its marks, and their labels."""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]

#: of values that are all above 0: by default the axis is logarithmic above this ratio
LOG_SCALE_RATIO = 20.0
#: larger values are drawn there, so that no arithmetic with them overflows
MAX_DRAWN = 1e300
PADDING = 0.04  # of the axis, beyond the extremes
MAX_PLAIN = 1_000_000  # from here on counts are labelled as 1.5M


class Axis(NamedTuple):
    """Maps values to fractions of the axis: `low` to 0, `high` to 1; of a log axis both > 0."""

    low: float
    high: float
    is_log: bool

    def fractions(self, values: Values) -> Values:
        """Return where values lie; NaN for those that this axis cannot show."""
        if self.is_log:
            values = np.where(values > 0, values, np.nan)
        scaled = self._scale(np.clip(values, -MAX_DRAWN, MAX_DRAWN))
        low, high = self._scale(np.array([self.low, self.high]))
        if high <= low:
            return np.where(np.isnan(scaled), np.nan, 0.5)
        fractions: Values = (scaled - low) / (high - low)
        return fractions

    def value(self, fraction: float) -> float:
        """Return the value at a fraction of the axis."""
        low, high = self._scale(np.array([self.low, self.high])).tolist()
        scaled = low + (high - low) * fraction
        return float(math.exp(scaled)) if self.is_log else scaled

    def marks(self, count: int) -> list[float]:
        """Return some `count` round values within the axis, ascending."""
        decades = math.log10(self.high / self.low) if self.is_log else 0
        return self._log_marks(count) if decades >= 1 else self._linear_marks(count)

    def _linear_marks(self, count: int) -> list[float]:
        span = self.high - self.low
        if span <= 0:
            return [self.low]
        step = _round_step(span / max(count, 1))
        numbers = range(math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9) + 1)
        return [float(f"{number * step:.12g}") for number in numbers]

    def _log_marks(self, count: int) -> list[float]:
        first, last = math.floor(math.log10(self.low)), math.floor(math.log10(self.high))
        strides = range(1, last - first + 2)
        for factors, stride in (((1, 2, 5), 1), *(((1,), stride) for stride in strides)):
            powers = [power for power in range(first, last + 1) if power % stride == 0]
            marks = [float(f"{factor}e{power}") for power in powers for factor in factors]
            inside = [mark for mark in marks if self.low <= mark <= self.high]
            if len(inside) <= count:
                break
        return inside

    def _scale(self, values: Values) -> Values:
        scaled: Values = np.log(values) if self.is_log else values
        return scaled


def make_axis(values: Values, log: bool | None, *, is_padded: bool = True) -> Axis | None:
    """Return the axis that shows these finite values, or None if there is none that it can show.

    `log` None chooses: logarithmic where all are above 0 and the largest is over LOG_SCALE_RATIO
    times the smallest. A log axis leaves out what is not above 0.
    """
    values = np.clip(values[np.isfinite(values)], -MAX_DRAWN, MAX_DRAWN)
    if log:
        values = values[values > 0]
    if not values.size:
        return None
    low, high = float(values.min()), float(values.max())
    is_log = low > 0 and high / low > LOG_SCALE_RATIO if log is None else log
    if not is_padded:
        return Axis(low, high, is_log)
    return _pad_log(low, high) if is_log else _pad_linear(low, high)


def _pad_log(low: float, high: float) -> Axis:
    factor = math.exp(PADDING * math.log(high / low)) if high > low else 2.0
    return Axis(max(low / factor, math.ulp(0.0)), high * factor, is_log=True)


def _pad_linear(low: float, high: float) -> Axis:
    pad = PADDING * (high - low) or PADDING * abs(low) or 1.0
    bottom = low - pad
    return Axis(0.0 if bottom < 0 <= low else bottom, high + pad, is_log=False)


def number_text(value: float) -> str:
    """Return a value with four significant digits at most."""
    return f"{value:.4g}"


def tick_text(tick: float) -> str:
    """Return a number of ticks: 12,000 or 1.5M."""
    for unit, size in (("G", 10**9), ("M", MAX_PLAIN)):
        if tick >= size:
            return f"{tick / size:.4g}{unit}"
    return f"{tick:,.0f}"


def _round_step(step: float) -> float:
    """Return the next of 1, 2, 5 times a power of ten."""
    power = float(f"1e{math.floor(math.log10(step))}")
    return next((power * factor for factor in (1, 2, 5) if power * factor >= step), power * 10)
