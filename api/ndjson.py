"""A range of a history as NDJSON: one object per tick.

A value that is not finite is null and named in `nonfinite`. A sparse column appears only at ticks
where it has a point; an object of tick 0, before any update, has sparse columns alone. Knows no
HTTP.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from jobs.history.history import HistoryReader
from jobs.job import Job

PAGE_TICKS = 10_000  # held in memory at once


def stream_ndjson(
    history: HistoryReader, job: Job, columns: Sequence[str], after: int, before: int
) -> Iterator[bytes]:
    """Stream the ticks between two exclusive bounds.

    Raises what HistoryReader.read does of the whole range, before the first line.
    """
    history.check_range(job, columns, after, before)
    page = history.read(job, columns, after, before, PAGE_TICKS)
    return _stream_lines(history, job, columns, page, before)


def _stream_lines(
    history: HistoryReader, job: Job, columns: Sequence[str], page: dict[str, Any], before: int
) -> Iterator[bytes]:
    while True:
        objects = _tick_objects(page, list(dict.fromkeys(columns)))
        text = "".join(json.dumps(row, allow_nan=False) + "\n" for row in objects)
        if text:
            yield text.encode()
        if page["next_after"] is None:
            return
        page = history.read(job, columns, page["next_after"], before, PAGE_TICKS)


def _tick_objects(page: dict[str, Any], columns: list[str]) -> list[dict[str, Any]]:
    sparse = [name for name in columns if isinstance(page[name], dict)]
    dense = [name for name in columns if name not in sparse]
    by_tick: dict[int, dict[str, Any]] = {
        tick: {"tick": tick, **{name: page[name][index] for name in dense}}
        for index, tick in enumerate(page.get("tick", []))
    }
    for name in sparse:
        for tick, value in zip(page[name]["tick"], page[name]["value"], strict=True):
            if tick in by_tick or tick == 0 or not dense:
                by_tick.setdefault(tick, {"tick": tick})[name] = value
    for entry in page["nonfinite"]:
        if row := by_tick.get(entry["tick"]):
            row.setdefault("nonfinite", {})[entry["column"]] = entry["value"]
    return [by_tick[tick] for tick in sorted(by_tick)]
