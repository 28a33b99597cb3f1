"""Build JSON objects of a history: pages of ticks, newest points, views. Knows no HTTP."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jobs.history import encoders
from jobs.history.column_reader import Points, decode_floats
from jobs.history.downsampling import bucket_edges, downsample_points
from jobs.history.selection import ColumnSelection
from jobs.values import STATE_COLUMN

HistoryJson = dict[str, Any]  # a response body


def range_json(selection: ColumnSelection, first: int, last: int, limit: int) -> HistoryJson:
    """Build a page of at most `limit` of the ticks first…last; of points with sparse columns alone.

    `next_after` is the page's last tick, or null if nothing follows now.
    """
    page_last = min(last, first + limit - 1)
    if not selection.dense:
        page_last = _last_tick_within(selection, first, last, limit)
    ticks = np.arange(first, page_last + 1)
    values = {name: selection.values(name, first, page_last) for name in selection.dense}
    points = {name: selection.points(name, first, page_last) for name in selection.sparse}
    nonfinite_values = [
        entry for name in values for entry in encoders.list_nonfinite(name, ticks, values[name])
    ]
    return {
        "job_id": selection.job.id,
        **({"tick": ticks.tolist()} if selection.dense else {}),
        **{name: encoders.encode_numbers(column) for name, column in values.items()},
        **{name: sparse_json(name, column_points) for name, column_points in points.items()},
        "nonfinite": nonfinite_values + _list_nonfinite_points(points),
        "next_after": page_last if page_last < last else None,
        **_extent_json(selection),
    }


def newest_json(selection: ColumnSelection, count: int) -> HistoryJson:
    """Build a page of the newest `count` ticks; with sparse columns alone, points of each."""
    first, last = selection.tick_range(0, None)
    if selection.dense:
        return range_json(selection, max(first, last - count + 1), last, count)
    points = {name: selection.points(name, first, last)[-count:] for name in selection.sparse}
    return {
        "job_id": selection.job.id,
        **{name: sparse_json(name, column_points) for name, column_points in points.items()},
        "nonfinite": _list_nonfinite_points(points),
        "next_after": None,
        **_extent_json(selection),
    }


def view_json(selection: ColumnSelection, first: int, last: int, max_buckets: int) -> HistoryJson:
    """Build a view of the ticks first…last with at most `max_buckets` buckets per column."""
    edges = bucket_edges(first, last, max_buckets) if last >= first else np.array([first], np.int64)
    starts, stops = edges[:-1], edges[1:] - 1
    views = {}
    for name in selection.dense:
        views[name] = encoders.encode_buckets(starts, stops, selection.downsample(name, edges))
    for name in selection.sparse:
        points = selection.points(name, first, last)
        ticks = points["tick"].astype(np.int64)
        buckets = downsample_points(ticks, decode_floats(points), max_buckets)
        views[name] = encoders.encode_buckets(*buckets)
    fixed = {"job_id": selection.job.id, "points": edges.size - 1}
    return {**fixed, **views, **_extent_json(selection)}


def sparse_json(name: str, points: Points) -> dict[str, list[Any]]:
    """Encode a sparse column: {"tick": […], "value": […]}; a state digest is 16 hex digits."""
    value = (
        encoders.encode_digests(points["bits"])
        if name == STATE_COLUMN
        else encoders.encode_numbers(decode_floats(points))
    )
    return {"tick": points["tick"].tolist(), "value": value}


def _last_tick_within(selection: ColumnSelection, first: int, last: int, limit: int) -> int:
    """Return the last tick up to which no sparse column has over `limit` points after tick 0."""
    for name in selection.sparse:
        ticks = selection.points(name, first, last)["tick"]
        counted_ticks = ticks[ticks > 0]
        if counted_ticks.size > limit:
            last = int(counted_ticks[limit - 1])
    return last


def _list_nonfinite_points(columns: Mapping[str, Points]) -> list[encoders.Nonfinite]:
    numeric = {name: points for name, points in columns.items() if name != STATE_COLUMN}
    return [
        entry
        for name, points in numeric.items()
        for entry in encoders.list_nonfinite(name, points["tick"], decode_floats(points))
    ]


def _extent_json(selection: ColumnSelection) -> HistoryJson:
    return {
        "last_tick": selection.extent.tick,
        "complete": selection.is_complete,
        "exact": selection.job.exact,
        "inexact_from": selection.job.inexact_from,
    }
