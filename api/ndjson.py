"""A history's range as one JSON object a tick. Knows the pages of a history, no HTTP.

A value that is not finite is null and named in `nonfinite`; a sparse column is there where it has
a point.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from jobs.history.history import HistoryReader
from jobs.job import Job

PAGE = 10_000  # ticks held in memory at once


def ndjson(
    history: HistoryReader, job: Job, columns: Sequence[str], after: int, before: int
) -> Iterator[bytes]:
    """Stream the ticks between exclusive bounds. Raises what History.read does, at once."""
    page = history.read(job, columns, after, before, PAGE)
    return _lines(history, job, columns, page, before)


def _lines(
    history: HistoryReader, job: Job, columns: Sequence[str], page: dict[str, Any], before: int
) -> Iterator[bytes]:
    while True:
        objects = _objects(page, list(dict.fromkeys(columns)))
        text = "".join(json.dumps(each, allow_nan=False) + "\n" for each in objects)
        if text:
            yield text.encode()
        if page["next_after"] is None:
            return
        page = history.read(job, columns, page["next_after"], before, PAGE)


def _objects(page: dict[str, Any], columns: list[str]) -> list[dict[str, Any]]:
    sparse = [name for name in columns if isinstance(page[name], dict)]
    dense = [name for name in columns if name not in sparse]
    found: dict[int, dict[str, Any]] = {
        tick: {"tick": tick, **{name: page[name][at] for name in dense}}
        for at, tick in enumerate(page.get("tick", []))
    }
    for name in sparse:
        for tick, value in zip(page[name]["tick"], page[name]["value"], strict=True):
            if tick in found or not dense:
                found.setdefault(tick, {"tick": tick})[name] = value
    for odd in page["nonfinite"]:
        if odd["tick"] in found:
            found[odd["tick"]].setdefault("nonfinite", {})[odd["column"]] = odd["value"]
    return [found[tick] for tick in sorted(found)]
