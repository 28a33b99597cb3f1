"""JSON answers made of a history: pages of ticks, newest points, views. Knows no store, no HTTP."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from jobs.bits import DIGEST
from jobs.history import forms
from jobs.history.asked import Asked
from jobs.history.columns import Points, floats_of
from jobs.history.view import borders, view_points

Answer = dict[str, Any]  # a JSON object of the contract's chapter on history


def page(asked: Asked, first: int, end: int, limit: int) -> Answer:
    """Answer with at most `limit` of the ticks first…end; of sparse columns alone, of points.

    `next_after` is the last tick answered for, or null when there is nothing behind it now.
    """
    last = min(end, first + limit - 1) if asked.dense else _last_point(asked, first, end, limit)
    ticks = np.arange(first, last + 1)
    values = {name: asked.values(name, first, last) for name in asked.dense}
    points = {name: asked.points(name, first, last) for name in asked.sparse}
    odd = [entry for name in values for entry in forms.nonfinite(name, ticks, values[name])]
    return {
        "job_id": asked.job_id,
        **({"tick": ticks.tolist()} if asked.dense else {}),
        **{name: forms.numbers(column) for name, column in values.items()},
        **{name: spell(name, found) for name, found in points.items()},
        "nonfinite": odd + _odd_points(points),
        "next_after": last if last < end else None,
        **_reach(asked),
    }


def newest(asked: Asked, count: int) -> Answer:
    """Answer with the newest `count` ticks; of sparse columns alone, points of each column."""
    end = asked.extent.tick
    if asked.dense:
        return page(asked, max(1, end - count + 1), end, count)
    points = {name: asked.points(name, 0, end)[-count:] for name in asked.sparse}
    spelled = {name: spell(name, found) for name, found in points.items()}
    beside = {"nonfinite": _odd_points(points), "next_after": None, **_reach(asked)}
    return {"job_id": asked.job_id, **spelled, **beside}


def view(asked: Asked, first: int, last: int, most: int) -> Answer:
    """Answer with the ticks first…last in at most `most` buckets a column; `points` counts them."""
    edges = borders(first, last, most) if last >= first else np.array([first], np.int64)
    starts, stops = edges[:-1], edges[1:] - 1
    views = {name: forms.buckets(starts, stops, asked.view(name, edges)) for name in asked.dense}
    for name in asked.sparse:
        points = asked.points(name, first, last)
        views[name] = forms.buckets(*view_points(_ticks(points), floats_of(points), most))
    return {"job_id": asked.job_id, "points": edges.size - 1, **views, **_reach(asked)}


def spell(name: str, points: Points) -> dict[str, list[Any]]:
    """Spell a sparse column: {"tick": […], "value": […]}; a state digest is 16 hex digits."""
    value = forms.digests(points["bits"]) if name == DIGEST else forms.numbers(floats_of(points))
    return {"tick": points["tick"].tolist(), "value": value}


def _last_point(asked: Asked, first: int, end: int, limit: int) -> int:
    """Last tick up to which no sparse column has more than `limit` points, tick 0 uncounted."""
    for name in asked.sparse:
        ticks = asked.points(name, first, end)["tick"]
        counted = ticks[ticks > 0]
        if counted.size > limit:
            end = int(counted[limit - 1])
    return end


def _odd_points(columns: Mapping[str, Points]) -> list[forms.Nonfinite]:
    numeric = {name: points for name, points in columns.items() if name != DIGEST}
    return [
        entry
        for name, points in numeric.items()
        for entry in forms.nonfinite(name, points["tick"], floats_of(points))
    ]


def _reach(asked: Asked) -> Answer:
    mark = {"exact": asked.exact, "inexact_from": asked.inexact_from}
    return {"last_tick": asked.extent.tick, "complete": asked.complete, **mark}


def _ticks(points: Points) -> npt.NDArray[np.int64]:
    return points["tick"].astype(np.int64)
