"""A history's whole range as a stream of bytes, some ticks at a time. Knows no store, no HTTP."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from jobs.bits import DIGEST
from jobs.history import forms
from jobs.history.asked import Asked
from jobs.history.columns import Points, floats_of

CSV_TICKS = 1 << 15  # ticks held in memory at once: some 5 MB of text and floats
BINARY_TICKS = 1 << 18  # 1 MiB


@dataclass(frozen=True)
class Binary:
    """One dense column as little-endian float32: last - first + 1 values, maybe none."""

    first: int
    last: int
    pieces: Iterator[bytes]


def binary(asked: Asked, column: str, first: int, last: int) -> Binary:
    """Stream a dense column (`lr` rounded to float32)."""
    pieces = (
        asked.values(column, start, stop).astype("<f4").tobytes()
        for start, stop in _cut(first, last, BINARY_TICKS)
    )
    return Binary(first, last, pieces)


def csv(asked: Asked, columns: Sequence[str], first: int, last: int) -> Iterator[bytes]:
    """Stream a header and a line a tick; of sparse columns alone, a line where there is a point.

    A sparse column's cell is empty where it has no point.
    """
    yield forms.csv_header(columns)
    for start, stop in _cut(first, last, CSV_TICKS):
        points = {name: asked.points(name, start, stop) for name in asked.sparse}
        ticks = np.arange(start, stop + 1)
        if not asked.dense:
            ticks = np.unique(np.concatenate([found["tick"] for found in points.values()]))
        cells = [
            _sparse_cells(name, ticks, points[name])
            if name in points
            else forms.csv_cells(asked.values(name, start, stop))
            for name in columns
        ]
        yield forms.csv_lines(ticks, cells)


def _sparse_cells(name: str, ticks: forms.Ticks, points: Points) -> list[str]:
    spelled = (
        forms.digests(points["bits"]) if name == DIGEST else forms.csv_cells(floats_of(points))
    )
    cells = dict(zip(points["tick"].tolist(), spelled, strict=True))
    return [cells.get(tick, "") for tick in ticks.tolist()]


def _cut(first: int, last: int, size: int) -> Iterator[tuple[int, int]]:
    """Cut the ticks first…last into pieces of at most `size`: first and last tick of each."""
    for start in range(first, last + 1, size):
        yield start, min(start + size - 1, last)
