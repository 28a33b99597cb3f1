"""Lays a curve out as a drawing: axes, marks, legend, lines. Knows no file format."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from jobs.history.curves import Series, Values
from jobs.pictures.axis import Axis, number_text, tick_text
from jobs.pictures.curve import Curve
from jobs.pictures.drawing import Band, Dot, Drawing, Label, Points, Rectangle, Role, Shape, Stroke
from jobs.pictures.panels import Panel, empty_message, legend_entries, make_panels

CHARACTER_WIDTH, BOLD_WIDTH = 6.2, 7.6  # pixels
#: smaller pictures have a title alone above the plot
MIN_WIDTH_WITH_LEGEND, MIN_HEIGHT_WITH_LEGEND = 300, 140
MAX_DOTS = 150  # of a sparse column; of more the line alone is drawn
PIXELS_PER_MARK, PIXELS_PER_TICK_MARK = 36, 90


@dataclass(frozen=True)
class _Plot:
    """The area of the curve, in pixels, and the ticks from left to right."""

    left: float
    top: float
    right: float
    bottom: float
    ticks: Axis

    def points(self, ticks: Values, values: Values, axis: Axis) -> Points:
        x = self.left + self.ticks.fractions(ticks) * (self.right - self.left)
        y = self.bottom - np.clip(axis.fractions(values), 0, 1) * (self.bottom - self.top)
        return np.stack([x, y], axis=1)


def draw_curve(curve: Curve, width: int, height: int, log: bool | None) -> Drawing:
    """Lay out a curve on `width` × `height` pixels; `log` None chooses by the values."""
    drawing = Drawing(width, height, f"{curve.name}: {curve.standing}")
    has_legend = width >= MIN_WIDTH_WITH_LEGEND and height >= MIN_HEIGHT_WITH_LEGEND
    drawing.shapes += _head(curve, width)
    panels = make_panels(curve.series, log)
    if not panels:
        message = empty_message(curve.series)
        drawing.shapes.append(Label(width / 2, height / 2 + 8, message, "muted", "middle"))
        return drawing
    plot = _make_plot(curve.series, panels, width, height, has_legend)
    drawing.shapes += _grid(plot, panels)
    for panel in reversed(panels):
        for series, role in reversed(panel.series):
            drawing.shapes += _lines(plot, panel.axis, series, role)
    drawing.shapes += _best(plot, panels, curve)
    if has_legend:
        drawing.shapes += _legend(plot, panels, curve)
    return drawing


def _head(curve: Curve, width: int) -> Iterator[Shape]:
    """Yield the title at the left, and how the job stands at the right, as far as they fit."""
    available = width - 24
    standing = curve.standing if len(curve.standing) * CHARACTER_WIDTH < available * 0.6 else ""
    for_name = available - (len(standing) + 2) * CHARACTER_WIDTH
    yield Label(12, 20, _cut(curve.name, int(for_name / BOLD_WIDTH)), "text", is_bold=True)
    if standing:
        yield Label(width - 12, 20, standing, "bad" if curve.is_bad else "muted", "end")


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: max(0, length - 3)] + "..."


def _make_plot(
    all_series: Sequence[Series],
    panels: Sequence[Panel],
    width: int,
    height: int,
    has_legend: bool,
) -> _Plot:
    top, bottom = (54 if has_legend else 32), height - (30 if has_legend else 22)
    margins = [_label_width(panel.axis, bottom - top) + 14 for panel in panels]
    right = width - (margins[1] if len(margins) > 1 else 16)
    ends = [
        float(tick) for series in all_series for tick in (series.first.min(), series.last.max())
    ]
    return _Plot(margins[0], top, right, bottom, Axis(min(ends), max(ends), is_log=False))


def _mark_count(pixels: float) -> int:
    return max(2, int(pixels / PIXELS_PER_MARK))


def _label_width(axis: Axis, pixels: float) -> float:
    lengths = [len(number_text(mark)) for mark in axis.marks(_mark_count(pixels))]
    return CHARACTER_WIDTH * max(lengths, default=1)


def _grid(plot: _Plot, panels: Sequence[Panel]) -> Iterator[Shape]:
    """Yield the frame: lines and labels of values, marks and labels of ticks."""
    count = _mark_count(plot.bottom - plot.top)
    for at, panel in enumerate(panels[:2]):
        is_left = at == 0
        role = "muted" if len(panels) == 1 else panel.series[0][1]
        x = plot.left - 6 if is_left else plot.right + 6
        for mark in panel.axis.marks(count):
            y = plot.bottom - float(panel.axis.fractions(np.array([mark]))[0]) * (
                plot.bottom - plot.top
            )
            if is_left:
                yield Rectangle(plot.left, round(y), plot.right - plot.left, 1, "grid")
            yield Label(x, y + 4, number_text(mark), role, "end" if is_left else "start")
    yield Rectangle(plot.left, round(plot.bottom), plot.right - plot.left, 1, "muted")
    yield from _tick_marks(plot)


def _tick_marks(plot: _Plot) -> Iterator[Shape]:
    span = plot.right - plot.left
    for mark in plot.ticks.marks(max(2, int(span / PIXELS_PER_TICK_MARK))):
        if mark != int(mark):
            continue  # there is no half tick
        x = plot.left + float(plot.ticks.fractions(np.array([mark]))[0]) * span
        text = tick_text(mark)
        half = len(text) * CHARACTER_WIDTH / 2
        yield Rectangle(round(x), plot.bottom, 1, 4, "muted")
        yield Label(min(x, plot.right + 14 - half), plot.bottom + 16, text, "muted", "middle")
    yield Label(6, plot.bottom + 16, "tick", "muted")


def _lines(plot: _Plot, axis: Axis, series: Series, role: Role) -> Iterator[Shape]:
    """Yield band and line of a series, in as many pieces as its gaps make; and its gaps."""
    ticks = series.ticks
    bounds = plot.points(ticks, series.high, axis), plot.points(ticks, _shown(series, axis), axis)
    means = plot.points(ticks, series.mean, axis)
    for start, stop in _runs(~np.isnan(means[:, 1])):
        upper, lower = (bound[start:stop] for bound in bounds)
        if stop - start == 1:
            yield _dot(means[start], 2.5, role)
            continue
        if np.abs(upper - lower).max() >= 1:
            yield Band(upper, lower, role)
        yield Stroke(means[start:stop], 1.6, role)
    if series.is_sparse and means.shape[0] <= MAX_DOTS:
        for at in means[~np.isnan(means[:, 1])]:
            yield _dot(at, 2.2, role)
    for x in means[series.nonfinite > 0, 0].tolist():
        yield Rectangle(min(x, plot.right - 2) - 1, plot.bottom - 7, 2, 7, "bad")


def _dot(at: Points, radius: float, role: Role, *, is_ring: bool = False) -> Dot:
    return Dot(float(at[0]), float(at[1]), radius, role, is_ring)


def _shown(series: Series, axis: Axis) -> Values:
    """Return the lower bound of the band: on a log axis not below its end."""
    return np.maximum(series.low, axis.low) if axis.is_log else series.low


def _runs(is_drawn: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield start and stop of each run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], is_drawn, [False]]).astype(np.int8)))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)


def _best(plot: _Plot, panels: Sequence[Panel], curve: Curve) -> Iterator[Shape]:
    best = curve.best
    if best is None or not plot.ticks.low <= best.tick <= plot.ticks.high:
        return
    for panel in panels:
        if panel.has(best.metric):
            at = plot.points(np.array([float(best.tick)]), np.array([best.value]), panel.axis)[0]
            if np.isfinite(at).all():
                yield _dot(at, 5.5, "best", is_ring=True)


def _legend(plot: _Plot, panels: Sequence[Panel], curve: Curve) -> Iterator[Shape]:
    """Yield what the colours mean, with the last values, as far as there is room."""
    x = plot.left
    for text, role in legend_entries(panels, curve):
        width = 14 + len(text) * CHARACTER_WIDTH
        if x + width > plot.right + 14:
            return
        yield Dot(x + 4, 38, 4, role, is_ring=role == "best")
        yield Label(x + 13, 42, text, "muted")
        x += width + 14
