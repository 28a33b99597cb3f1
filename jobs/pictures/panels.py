"""Which series share an axis, and the words of a legend. Knows no pixels and no characters."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from jobs.history.curves import Series
from jobs.pictures.axis import Axis, make_axis, number_text, tick_text
from jobs.pictures.curve import Curve, quantity
from jobs.pictures.drawing import Role

SERIES_ROLES: tuple[Role, ...] = ("first", "second", "third", "fourth")
#: by default never on a log scale
LINEAR_QUANTITIES = ("lr", "time", "accuracy", "macro_f1", "auc", "r2")
NOTHING_YET, NOTHING_FINITE, NOTHING_POSITIVE = (
    "no ticks yet", "no finite value", "no value above 0, which a log scale needs",
)  # fmt: skip


@dataclass(frozen=True)
class Panel:
    """The series that share an axis: those that measure the same quantity."""

    axis: Axis
    series: Sequence[tuple[Series, Role]]

    def has(self, column: str) -> bool:
        """Whether a column is among them."""
        return any(series.column == column for series, _ in self.series)


def make_panels(
    all_series: Sequence[Series], log: bool | None, *, of_means: bool = False
) -> list[Panel]:
    """Group the series that can be drawn by what they measure; the first axis is at the left.

    The axes reach to the extremes of the values, or from one extreme `of_means` to the other.
    """
    roles = dict(zip([series.column for series in all_series], SERIES_ROLES, strict=False))
    panels = []
    for name in dict.fromkeys(quantity(series.column) for series in all_series):
        group = [series for series in all_series if quantity(series.column) == name]
        parts = ("mean",) if of_means else ("low", "high", "mean")
        values = np.concatenate([getattr(series, part) for series in group for part in parts])
        is_log = False if log is None and name in LINEAR_QUANTITIES else log
        if (axis := make_axis(values, is_log, is_padded=not of_means)) is not None:
            panels.append(Panel(axis, [(series, roles[series.column]) for series in group]))
    return panels


def empty_message(all_series: Sequence[Series]) -> str:
    """Return why there is nothing to draw."""
    if not any(series.first.size for series in all_series):
        return NOTHING_YET
    is_finite = any(np.isfinite(series.mean).any() for series in all_series)
    return NOTHING_POSITIVE if is_finite else NOTHING_FINITE


def legend_entries(panels: Sequence[Panel], curve: Curve) -> Iterator[tuple[str, Role]]:
    """Yield the name and last value of each series, the best, and what is not drawn."""
    for panel in panels:
        for at, (series, role) in enumerate(panel.series):
            newest = curve.newest.get(series.column)
            if newest is None:  # no part of a job: the last point, a mean of several ticks
                newest = next(iter(series.mean[np.isfinite(series.mean)][::-1]), None)
            last = "" if newest is None else f" {number_text(float(newest))}"
            scale = " (log)" if panel.axis.is_log and at == 0 else ""
            yield f"{series.column}{last}{scale}", role
    best = curve.best
    if best is not None and any(panel.has(best.metric) for panel in panels):
        yield f"best {number_text(best.value)} at {tick_text(best.tick)}", "best"
    all_series = [series for panel in panels for series, _ in panel.series]
    if count := sum(int(series.nonfinite.sum()) for series in all_series):
        yield f"not finite: {count:,}", "bad"
    if count := _count_not_positive(panels):
        yield f"not above 0: {count:,} of the points", "bad"


def _count_not_positive(panels: Sequence[Panel]) -> int:
    """Count the buckets that a log axis leaves out."""
    log_panels = [panel for panel in panels if panel.axis.is_log]
    return sum(int((series.mean <= 0).sum()) for panel in log_panels for series, _ in panel.series)
