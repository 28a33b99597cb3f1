"""Columns of a history as curves: in buckets, as arrays. Knows no picture and no encoding."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jobs.history.column_reader import decode_floats
from jobs.history.downsampling import bucket_edges, downsample_points
from jobs.history.selection import ColumnSelection
from jobs.history.summary_rows import Edges, Summaries

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Series:
    """A column in buckets [n] of consecutive ticks; of a sparse column: of recorded ticks.

    `low`, `high` and `mean` are those of the finite values, NaN where a bucket has none;
    `nonfinite` counts the others.
    """

    column: str
    is_sparse: bool
    first: Edges
    last: Edges
    low: Values
    high: Values
    mean: Values
    nonfinite: Edges

    @property
    def ticks(self) -> Values:
        """Return where each bucket is drawn: at its middle, the outer ones at the ends [n]."""
        middles = (self.first + self.last) / 2
        if middles.size > 1:
            middles[0], middles[-1] = self.first[0], self.last[-1]
        return middles


def read_series(selection: ColumnSelection, last: int, points: int) -> list[Series]:
    """Read the selected columns up to the tick `last`, in at most `points` buckets each."""
    first, last = selection.tick_range(0, last + 1)
    dense, sparse = [], []
    if last >= first:
        edges = bucket_edges(first, last, points)
        dense = [
            _make_series(name, False, edges[:-1], edges[1:] - 1, selection.downsample(name, edges))
            for name in selection.dense
        ]
    for name in selection.sparse:
        recorded = selection.points(name, first, last)
        ticks, values = recorded["tick"].astype(np.int64), decode_floats(recorded)
        if ticks.size:
            buckets = downsample_points(ticks, values, points)
            sparse.append(_make_series(name, True, *buckets))
    return [*dense, *sparse]


def _make_series(
    column: str, is_sparse: bool, first: Edges, last: Edges, summaries: Summaries
) -> Series:
    counts = summaries["finite"]
    is_empty = counts == 0
    low, high, mean = (
        np.where(is_empty, np.nan, values)
        for values in (summaries["min"], summaries["max"], summaries["sum"] / np.maximum(counts, 1))
    )
    return Series(column, is_sparse, first, last, low, high, mean, summaries["nonfinite"])
