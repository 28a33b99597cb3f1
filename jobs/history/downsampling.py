"""Views: a range of ticks as a few buckets, exact in their extremes. Knows no store and no JSON."""

from typing import Protocol

import numpy as np
import numpy.typing as npt

from jobs.history.summary_rows import (
    BUCKET,
    SUMMARY,
    Edges,
    Floats,
    Summaries,
    combine_runs,
    summarize_runs,
)

MAX_RAW_TICKS = (
    1 << 18
)  # ticks read one by one for a view (7 ms); above, buckets are of summary rows


class DenseColumn(Protocol):
    """One dense column of one job, as a view needs it."""

    def values(self, first: int, last: int) -> npt.NDArray[np.float32]:
        """Values of the ticks first…last, both included."""
        ...

    def rows(self, start: int, stop: int) -> Summaries:
        """Summary rows start…stop-1; row i is of the ticks i * 1024 + 1 … (i + 1) * 1024."""
        ...


def row_of(tick: int) -> int:
    """Return the number of the summary row that `tick` (from 1) falls in."""
    return (tick - 1) // BUCKET


def bucket_edges(first: int, last: int, points: int) -> Edges:
    """Cut the ticks first…last into at most `points` buckets: the first tick of each, and last + 1.

    There are exactly `points` where there are ticks (or, in a long range, rows) enough. In a long
    range every inner border lies between two summary rows, so that only rows and the two ragged
    ends need to be read.
    """
    assert 1 <= first <= last and points >= 1
    ticks, start = last - first + 1, row_of(first)
    rows = row_of(last) - start + 1
    if rows < points and ticks <= MAX_RAW_TICKS:
        return first + _even_edges(ticks, min(points, ticks))
    edges = (start + _even_edges(rows, min(points, rows))) * BUCKET + 1
    edges[0], edges[-1] = first, last + 1
    return edges


def downsample(column: DenseColumn, edges: Edges) -> Summaries:
    """Summarize a column in the buckets of `borders` -> TALLY [len(edges) - 1]."""
    first, last = int(edges[0]), int(edges[-1]) - 1
    if np.all(edges[1:-1] % BUCKET == 1) and last - first >= BUCKET:
        starts = (edges[:-1] - 1) // BUCKET - row_of(first)
        return combine_runs(_summarize_rows(column, first, last), starts)
    return summarize_runs(column.values(first, last), edges[:-1] - first)


def downsample_points(ticks: Edges, values: Floats, points: int) -> tuple[Edges, Edges, Summaries]:
    """Summarize a sparse column in at most `points` buckets of as many recorded ticks each.

    Gives the first and the last recorded tick of each bucket, and its TALLY.
    """
    cuts = _even_edges(ticks.size, min(points, ticks.size))
    starts = cuts[:-1]
    return ticks[starts], ticks[cuts[1:] - 1], summarize_runs(values, starts)


def _summarize_rows(column: DenseColumn, first: int, last: int) -> Summaries:
    """One tally for each row that first…last touches; a row cut by an end is made from values."""
    start, stop = row_of(first), row_of(last) + 1
    full_start, full_stop = -(-(first - 1) // BUCKET), last // BUCKET
    out = np.zeros(stop - start, SUMMARY)
    if full_stop > full_start:
        out[full_start - start : full_stop - start] = column.rows(full_start, full_stop)
    if full_start > start:
        out[0] = _summarize_all(column.values(first, min(last, full_start * BUCKET)))
    if full_stop < stop and full_stop >= full_start:
        out[-1] = _summarize_all(column.values(full_stop * BUCKET + 1, last))
    return out


def _summarize_all(values: Floats) -> Summaries:
    return summarize_runs(values, np.zeros(1, np.int64))


def _even_edges(count: int, parts: int) -> Edges:
    """Cut 0…count into equal parts, to one: their borders, parts + 1 numbers."""
    return np.arange(parts + 1, dtype=np.int64) * count // parts
