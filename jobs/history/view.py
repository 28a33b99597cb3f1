"""Views: a range of ticks as a few buckets, exact in their extremes. Knows no store and no JSON."""

from typing import Protocol

import numpy as np
import numpy.typing as npt

from jobs.history.rows import BUCKET, TALLY, Edges, Floats, Tallies, combine, tally

MOST_RAW = 1 << 18  # ticks read one by one for a view (7 ms); above, buckets are of summary rows


class Column(Protocol):
    """One dense column of one job, as a view needs it."""

    def values(self, first: int, last: int) -> npt.NDArray[np.float32]:
        """Values of the ticks first…last, both included."""
        ...

    def rows(self, start: int, stop: int) -> Tallies:
        """Summary rows start…stop-1; row i is of the ticks i * 1024 + 1 … (i + 1) * 1024."""
        ...


def row_of(tick: int) -> int:
    """Return the number of the summary row that `tick` (from 1) falls in."""
    return (tick - 1) // BUCKET


def borders(first: int, last: int, points: int) -> Edges:
    """Cut the ticks first…last into at most `points` buckets: the first tick of each, and last + 1.

    There are exactly `points` where there are ticks (or, in a long range, rows) enough. In a long
    range every inner border lies between two summary rows, so that only rows and the two ragged
    ends need to be read.
    """
    assert 1 <= first <= last and points >= 1
    ticks, start = last - first + 1, row_of(first)
    rows = row_of(last) - start + 1
    if rows < points and ticks <= MOST_RAW:
        return first + _even(ticks, min(points, ticks))
    edges = (start + _even(rows, min(points, rows))) * BUCKET + 1
    edges[0], edges[-1] = first, last + 1
    return edges


def view(column: Column, edges: Edges) -> Tallies:
    """Summarize a column in the buckets of `borders` -> TALLY [len(edges) - 1]."""
    first, last = int(edges[0]), int(edges[-1]) - 1
    if np.all(edges[1:-1] % BUCKET == 1) and last - first >= BUCKET:
        starts = (edges[:-1] - 1) // BUCKET - row_of(first)
        return combine(_row_by_row(column, first, last), starts)
    return tally(column.values(first, last), edges[:-1] - first)


def view_points(ticks: Edges, values: Floats, points: int) -> tuple[Edges, Edges, Tallies]:
    """Summarize a sparse column in at most `points` buckets of as many recorded ticks each.

    Gives the first and the last recorded tick of each bucket, and its TALLY.
    """
    cuts = _even(ticks.size, min(points, ticks.size))
    starts = cuts[:-1]
    return ticks[starts], ticks[cuts[1:] - 1], tally(values, starts)


def _row_by_row(column: Column, first: int, last: int) -> Tallies:
    """One tally for each row that first…last touches; a row cut by an end is made from values."""
    start, stop = row_of(first), row_of(last) + 1
    whole_start, whole_stop = -(-(first - 1) // BUCKET), last // BUCKET
    out = np.zeros(stop - start, TALLY)
    if whole_stop > whole_start:
        out[whole_start - start : whole_stop - start] = column.rows(whole_start, whole_stop)
    if whole_start > start:
        out[0] = _whole(column.values(first, min(last, whole_start * BUCKET)))
    if whole_stop < stop and whole_stop >= whole_start:
        out[-1] = _whole(column.values(whole_stop * BUCKET + 1, last))
    return out


def _whole(values: Floats) -> Tallies:
    return tally(values, np.zeros(1, np.int64))


def _even(count: int, parts: int) -> Edges:
    """Cut 0…count into equal parts, to one: their borders, parts + 1 numbers."""
    return np.arange(parts + 1, dtype=np.int64) * count // parts
