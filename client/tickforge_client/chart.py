"""Draws a curve as text, with braille dots. Knows no job, no HTTP, no colour."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

#: braille dots in one character: across, down
CELL_WIDTH, CELL_HEIGHT = 2, 4
#: the bit of each dot in a braille character, by row and column
_BITS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_BLANK = 0x2800
_Dot = tuple[int, int]  # x, y from the top
#: above this ratio of largest to smallest value (all > 0) the axis is logarithmic
_LOG_SCALE_RATIO = 20.0


class Point(NamedTuple):
    """A value at a tick; a bucket's tick may lie between two."""

    tick: float
    value: float


class _Axis(NamedTuple):
    """Maps values to fractions of the axis: 0 is `low`, 1 is `high`."""

    low: float
    high: float
    is_log: bool

    def to_fraction(self, value: float) -> float:
        low, high = self._scale(self.low), self._scale(self.high)
        # halved, so that the difference of two huge values stays finite
        return (self._scale(value) / 2 - low / 2) / (high / 2 - low / 2) if high > low else 0.5

    def to_value(self, fraction: float) -> float:
        low, high = self._scale(self.low), self._scale(self.high)
        scaled = low * (1 - fraction) + high * fraction
        return math.exp(scaled) if self.is_log else scaled

    def _scale(self, value: float) -> float:
        return math.log(value) if self.is_log else value


def mean_points(view: Mapping[str, Any], column: str) -> list[Point]:
    """Return the mean of each bucket of a view, at its middle; skip those without a finite one."""
    buckets = view[column]
    triples = zip(buckets["tick_first"], buckets["tick_last"], buckets["mean"], strict=True)
    finite_buckets = [(first, last, mean) for first, last, mean in triples if mean is not None]
    points = [Point((first + last) / 2, mean) for first, last, mean in finite_buckets]
    if len(points) > 1:  # stretch the curve from the first tick to the last
        points[0] = Point(finite_buckets[0][0], points[0].value)
        points[-1] = Point(finite_buckets[-1][1], points[-1].value)
    return points


def draw(
    points: Sequence[Point], *, width: int = 64, height: int = 12, braille: bool = True
) -> list[str]:
    """Return a curve as `height` lines and an axis, each at most `width` + 12 characters.

    The value axis is logarithmic for positive values that differ by more than _LOG_SCALE_RATIO.
    With `braille` False all characters are ASCII.
    """
    finite = [point for point in points if math.isfinite(point.value)]
    if not finite:
        return ["(nothing to draw yet)"]
    values = [point.value for point in finite]
    low, high = min(values), max(values)
    axis = _Axis(low, high, is_log=low > 0 and high / low > _LOG_SCALE_RATIO)
    dots = _curve_dots(finite, axis, width * CELL_WIDTH, height * CELL_HEIGHT)
    rows = _render_rows(dots, width, height, braille)
    middle = axis.to_value(1 - height // 2 / (height - 1))
    labels = {0: f"{high:.4g}", height // 2: f"{middle:.4g}", height - 1: f"{low:.4g}"}
    lines = [f"{labels.get(i, ''):>10} │{row}" for i, row in enumerate(rows)]
    ends = f"{finite[0].tick:,.0f}", f"{finite[-1].tick:,.0f}"
    note = "tick, log scale" if axis.is_log else "tick"
    lines.append(f"{'':>10} └{'─' * width}")
    lines.append(f"{'':>12}{ends[0]}{note:^{max(0, width - len(ends[0]) - len(ends[1]))}}{ends[1]}")
    return lines if braille else [line.translate(_ASCII) for line in lines]


_ASCII = str.maketrans("│└─", "|+-")


def can_show(encoding: str | None) -> bool:
    """Return whether this encoding has braille dots and box lines."""
    try:
        "⣿│".encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _curve_dots(points: Sequence[Point], axis: _Axis, width: int, height: int) -> Iterator[_Dot]:
    """Yield the dots of a line through the points, without gaps."""
    first, last = points[0].tick, points[-1].tick
    span = max(last - first, 1)
    previous: _Dot | None = None
    for point in points:
        x = round((point.tick - first) / span * (width - 1))
        y = round((1 - axis.to_fraction(point.value)) * (height - 1))
        yield from _line_dots(previous or (x, y), (x, y))
        previous = x, y


def _line_dots(start: _Dot, end: _Dot) -> Iterator[_Dot]:
    (x, y), width, height = start, end[0] - start[0], end[1] - start[1]
    steps = max(abs(width), abs(height), 1)
    for step in range(steps + 1):
        fraction = step / steps
        yield round(x + width * fraction), round(y + height * fraction)


def _render_rows(dots: Iterator[_Dot], width: int, height: int, braille: bool) -> list[str]:
    cells = [[0] * width for _ in range(height)]
    for x, y in dots:
        cells[y // CELL_HEIGHT][x // CELL_WIDTH] |= _BITS[y % CELL_HEIGHT][x % CELL_WIDTH]
    if braille:
        return ["".join(chr(_BLANK + cell) if cell else " " for cell in row) for row in cells]
    return ["".join("*" if cell else " " for cell in row) for row in cells]
