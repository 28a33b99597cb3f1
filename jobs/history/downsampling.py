"""Downsample a range of ticks to a few buckets, exact in their extremes. Knows no store."""

from collections.abc import Callable

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

#: of one dense column: reads the ticks first…last, inclusive -> float32 [last - first + 1]
ReadValues = Callable[[int, int], npt.NDArray[np.float32]]
#: reads its summary rows start…stop-1; row i has the ticks i * 1024 + 1 … (i + 1) * 1024
ReadRows = Callable[[int, int], Summaries]

MAX_RAW_TICKS = 1 << 18  # read one by one for a view (7 ms); longer ranges use summary rows


def row_of(tick: int) -> int:
    """Return the index of the summary row that contains `tick` (from 1)."""
    return (tick - 1) // BUCKET


def bucket_edges(first: int, last: int, points: int) -> Edges:
    """Split the ticks first…last into at most `points` buckets.

    Returns the first tick of each bucket and last + 1. There are exactly `points` buckets if there
    are enough ticks (in a long range: summary rows). In a long range every inner edge lies between
    two summary rows, so that only rows and the two incomplete ends need to be read.
    """
    assert 1 <= first <= last and points >= 1
    ticks, start = last - first + 1, row_of(first)
    rows = row_of(last) - start + 1
    if rows < points and ticks <= MAX_RAW_TICKS:
        return first + _even_edges(ticks, min(points, ticks))
    edges = (start + _even_edges(rows, min(points, rows))) * BUCKET + 1
    edges[0], edges[-1] = first, last + 1
    return edges


def downsample(read_values: ReadValues, read_rows: ReadRows, edges: Edges) -> Summaries:
    """Summarize a column in the buckets of `edges` -> SUMMARY [len(edges) - 1]."""
    first, last = int(edges[0]), int(edges[-1]) - 1
    if np.all(edges[1:-1] % BUCKET == 1) and last - first >= BUCKET:
        starts = (edges[:-1] - 1) // BUCKET - row_of(first)
        return combine_runs(_summarize_rows(read_values, read_rows, first, last), starts)
    return summarize_runs(read_values(first, last), edges[:-1] - first)


def downsample_points(ticks: Edges, values: Floats, points: int) -> tuple[Edges, Edges, Summaries]:
    """Summarize a sparse column in at most `points` buckets of equally many recorded ticks.

    Returns each bucket's first and last recorded tick, and its SUMMARY.
    """
    cuts = _even_edges(ticks.size, min(points, ticks.size))
    starts = cuts[:-1]
    return ticks[starts], ticks[cuts[1:] - 1], summarize_runs(values, starts)


def _summarize_rows(
    read_values: ReadValues, read_rows: ReadRows, first: int, last: int
) -> Summaries:
    """Return one SUMMARY for each row that overlaps first…last; cut rows come from values."""
    start, stop = row_of(first), row_of(last) + 1
    full_start, full_stop = -(-(first - 1) // BUCKET), last // BUCKET
    out = np.zeros(stop - start, SUMMARY)
    if full_stop > full_start:
        out[full_start - start : full_stop - start] = read_rows(full_start, full_stop)
    if full_start > start:
        out[0] = _summarize_all(read_values(first, min(last, full_start * BUCKET)))
    if full_stop < stop and full_stop >= full_start:
        out[-1] = _summarize_all(read_values(full_stop * BUCKET + 1, last))
    return out


def _summarize_all(values: Floats) -> Summaries:
    return summarize_runs(values, np.zeros(1, np.int64))


def _even_edges(count: int, parts: int) -> Edges:
    """Return the edges that split 0…count into `parts` parts whose sizes differ by at most 1."""
    return np.arange(parts + 1, dtype=np.int64) * count // parts
