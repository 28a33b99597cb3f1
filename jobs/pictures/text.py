"""Writes a curve as text: the first column of an axis in braille dots, the others as marks.

The client draws nothing itself: what it shows in a terminal is this text.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from jobs.history.curves import Series, Values
from jobs.pictures.axis import Axis, number_text, tick_text
from jobs.pictures.curve import Curve
from jobs.pictures.panels import Panel, empty_message, legend_entries, make_panels

#: braille dots in one character: across, down
CELL_WIDTH, CELL_HEIGHT = 2, 4
#: the bit of each dot in a braille character, by row and column
_BITS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]], np.uint8)
_BLANK = 0x2800
MARK, BEST_MARK, GAP_MARK = "o", "X", "!"
LABEL_WIDTH = 10  # characters left of the axis

_Rows = list[list[str]]


def write_text(curve: Curve, width: int, height: int, log: bool | None) -> str:
    """Return a curve as text: for each axis a legend, `height` lines and the ticks.

    Each line has at most `width` + 12 characters, not counting the line end.
    """
    panels = make_panels(curve.series, log, of_means=True)
    lines = [line for panel in panels for line in _draw_panel(panel, curve, width, height)]
    if not panels:
        lines.append(f"({empty_message(curve.series)})")
    if curve.is_bad:
        lines.append(f"({curve.standing})")
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _draw_panel(panel: Panel, curve: Curve, width: int, height: int) -> Iterator[str]:
    ends = [tick for series, _ in panel.series for tick in (series.first[0], series.last[-1])]
    ticks = Axis(float(min(ends)), float(max(ends)), is_log=False)
    (main, _), *others = panel.series
    rows = _render(_line_dots(main, panel.axis, ticks, width, height))
    for series, _ in others:
        _mark(rows, _cells(series.ticks, series.mean, panel.axis, ticks, rows), MARK)
    if (best := curve.best) is not None and panel.has(best.metric):
        at = np.array([float(best.tick)]), np.array([best.value])
        _mark(rows, _cells(*at, panel.axis, ticks, rows), BEST_MARK)
    yield _legend(panel, curve, width)
    labels = _labels(panel.axis, height)
    for at_row, row in enumerate(rows):
        yield f"{labels.get(at_row, ''):>{LABEL_WIDTH}} │{''.join(row)}"
    yield f"{'':>{LABEL_WIDTH}} └{_base_line(panel.series, ticks, width)}"
    first, last = tick_text(ticks.low), tick_text(ticks.high)
    middle = max(0, width - len(first) - len(last))
    yield f"{'':>{LABEL_WIDTH + 2}}{first}{'tick':^{middle}}{last}"


def _legend(panel: Panel, curve: Curve, width: int) -> str:
    """Return what the marks mean, with the last values, as far as it fits."""
    signs = {"best": BEST_MARK, "bad": GAP_MARK}
    main_role = panel.series[0][1]
    parts: list[str] = []
    for text, role in legend_entries([panel], curve):
        part = text if role == main_role else f"{signs.get(role, MARK)} {text}"
        if parts and len("   ".join([*parts, part])) > width:
            break
        parts.append(part)
    return f"{'':>{LABEL_WIDTH + 2}}{'   '.join(parts)}"


def _labels(axis: Axis, height: int) -> dict[int, str]:
    """Return the labels of the first, the middle and the last row."""
    middle = height // 2
    fractions = {0: 1.0, middle: 1 - middle / (height - 1), height - 1: 0.0}
    return {row: number_text(axis.value(fraction)) for row, fraction in fractions.items()}


def _line_dots(
    series: Series, axis: Axis, ticks: Axis, width: int, height: int
) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    """Return the dots of a line through the buckets, without gaps but those of its values."""
    dots = np.zeros((height * CELL_HEIGHT, width * CELL_WIDTH), np.bool_)
    columns, rows = _positions(series.ticks, series.mean, axis, ticks, dots.shape)
    previous: tuple[float, float] | None = None
    for column, row in zip(columns.tolist(), rows.tolist(), strict=True):
        if row != row:  # NaN: nothing is drawn there
            previous = None
            continue
        from_column, from_row = previous or (column, row)
        steps = int(max(abs(column - from_column), abs(row - from_row), 1))
        at = np.arange(steps + 1) / steps
        on_rows = np.rint(from_row + (row - from_row) * at).astype(np.int64)
        dots[on_rows, np.rint(from_column + (column - from_column) * at).astype(np.int64)] = True
        previous = column, row
    return dots


def _positions(
    at_ticks: Values, values: Values, axis: Axis, ticks: Axis, shape: tuple[int, ...]
) -> tuple[Values, Values]:
    """Return column and row of each value in a raster of this shape; NaN where it has none."""
    height, width = shape
    columns = np.rint(ticks.fractions(at_ticks) * (width - 1))
    return columns, np.rint((1 - np.clip(axis.fractions(values), 0, 1)) * (height - 1))


def _render(dots: np.ndarray[tuple[int, int], np.dtype[np.bool_]]) -> _Rows:
    height, width = dots.shape[0] // CELL_HEIGHT, dots.shape[1] // CELL_WIDTH
    cells = dots.reshape(height, CELL_HEIGHT, width, CELL_WIDTH).transpose(0, 2, 1, 3)
    codes = (cells * _BITS).sum(axis=(2, 3))
    return [[chr(_BLANK + code) if code else " " for code in row] for row in codes.tolist()]


def _cells(
    at_ticks: Values, values: Values, axis: Axis, ticks: Axis, rows: _Rows
) -> Iterator[tuple[int, int]]:
    """Yield row and column of the character of each value that can be drawn."""
    columns, lines = _positions(at_ticks, values, axis, ticks, (len(rows), len(rows[0])))
    for column, line in zip(columns.tolist(), lines.tolist(), strict=True):
        if line == line:
            yield int(line), int(column)


def _mark(rows: _Rows, cells: Iterator[tuple[int, int]], mark: str) -> None:
    for row, column in cells:
        rows[row][column] = mark


def _base_line(all_series: Sequence[tuple[Series, object]], ticks: Axis, width: int) -> str:
    """Return the axis of ticks, with a mark where values are not finite."""
    line = ["─"] * width
    for series, _ in all_series:
        gaps = series.ticks[series.nonfinite > 0]
        for column in np.rint(ticks.fractions(gaps) * (width - 1)).astype(int).tolist():
            line[column] = GAP_MARK
    return "".join(line)
