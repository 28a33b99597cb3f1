"""A curve in a terminal, of braille dots. Knows numbers and text; no job, no HTTP, no colour."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

#: dots in a character cell: across, down
ACROSS, DOWN = 2, 4
#: which bit of a braille character each dot is, by row and column
_BITS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_BLANK = 0x2800
#: above this ratio of largest to smallest value (all > 0) the axis is logarithmic
_DECADES = 20.0


class Point(NamedTuple):
    """A value at a tick."""

    tick: float
    value: float


class _Axis(NamedTuple):
    """Maps values to 0…1, from the lowest to the highest."""

    low: float
    high: float
    log: bool

    def place(self, value: float) -> float:
        low, high = self._scaled(self.low), self._scaled(self.high)
        # halves, so that the distance of two huge values stays finite
        return (self._scaled(value) / 2 - low / 2) / (high / 2 - low / 2) if high > low else 0.5

    def value(self, place: float) -> float:
        low, high = self._scaled(self.low), self._scaled(self.high)
        there = low * (1 - place) + high * place
        return math.exp(there) if self.log else there

    def _scaled(self, value: float) -> float:
        return math.log(value) if self.log else value


def points_of(view: Mapping[str, Any], column: str) -> list[Point]:
    """The means of a view's buckets, each at its middle; those without a finite value left out."""
    buckets = view[column]
    trio = zip(buckets["tick_first"], buckets["tick_last"], buckets["mean"], strict=True)
    found = [(first, last, mean) for first, last, mean in trio if mean is not None]
    points = [Point((first + last) / 2, mean) for first, last, mean in found]
    if len(points) > 1:  # the curve reaches from the first tick to the last
        points[0] = Point(found[0][0], points[0].value)
        points[-1] = Point(found[-1][1], points[-1].value)
    return points


def draw(
    points: Sequence[Point], *, width: int = 64, height: int = 12, braille: bool = True
) -> list[str]:
    """Draw a curve in `height` lines and an axis below, each at most `width` + 12 characters."""
    finite = [point for point in points if math.isfinite(point.value)]
    if not finite:
        return ["(nothing to draw yet)"]
    values = [point.value for point in finite]
    low, high = min(values), max(values)
    axis = _Axis(low, high, log=low > 0 and high / low > _DECADES)
    rows = _rows(_dots(finite, axis, width * ACROSS, height * DOWN), width, height, braille)
    marks = {0: axis.high, height // 2: axis.value(1 - height // 2 / (height - 1)), height - 1: low}
    lines = [f"{_number(marks.get(at)):>10} │{row}" for at, row in enumerate(rows)]
    ends = f"{finite[0].tick:,.0f}", f"{finite[-1].tick:,.0f}"
    note = "tick, log scale" if axis.log else "tick"
    lines.append(f"{'':>10} └{'─' * width}")
    lines.append(f"{'':>12}{ends[0]}{note:^{max(0, width - len(ends[0]) - len(ends[1]))}}{ends[1]}")
    return lines if braille else [line.translate(_ASCII) for line in lines]


_ASCII = str.maketrans("│└─", "|+-")


def can_show(encoding: str | None) -> bool:
    """Whether an output of this encoding has braille dots and box lines."""
    try:
        "⣿│".encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _dots(
    points: Sequence[Point], axis: _Axis, width: int, height: int
) -> Iterator[tuple[int, int]]:
    """Dots (x, y from the top) of the line through the points, without gaps."""
    first, last = points[0].tick, points[-1].tick
    across = max(last - first, 1)
    before: tuple[int, int] | None = None
    for point in points:
        x = round((point.tick - first) / across * (width - 1))
        y = round((1 - axis.place(point.value)) * (height - 1))
        yield from _line(before or (x, y), (x, y))
        before = x, y


def _line(start: tuple[int, int], end: tuple[int, int]) -> Iterator[tuple[int, int]]:
    steps = max(abs(end[0] - start[0]), abs(end[1] - start[1]), 1)
    for step in range(steps + 1):
        part = step / steps
        yield (
            round(start[0] + (end[0] - start[0]) * part),
            round(start[1] + (end[1] - start[1]) * part),
        )


def _rows(dots: Iterator[tuple[int, int]], width: int, height: int, braille: bool) -> list[str]:
    cells = [[0] * width for _ in range(height)]
    for x, y in dots:
        cells[y // DOWN][x // ACROSS] |= _BITS[y % DOWN][x % ACROSS]
    if braille:
        return ["".join(chr(_BLANK + cell) if cell else " " for cell in row) for row in cells]
    return ["".join("*" if cell else " " for cell in row) for row in cells]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
