"""Stream a range of a history as CSV or binary, in bounded memory. Knows no store, no HTTP."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from jobs.history import encoders
from jobs.history.column_reader import Points, decode_floats
from jobs.history.selection import ColumnSelection
from jobs.values import STATE_COLUMN

CSV_TICKS = 1 << 13  # in memory at once, and made at once for a client that may read nothing
BINARY_TICKS = 1 << 18  # 1 MiB


@dataclass(frozen=True)
class BinaryExport:
    """One dense column as little-endian float32: last - first + 1 values, possibly none."""

    first: int
    last: int
    pieces: Iterator[bytes]


def stream_binary(selection: ColumnSelection, column: str, first: int, last: int) -> BinaryExport:
    """Stream a dense column; `lr` is rounded to float32."""
    pieces = (
        selection.values(column, start, stop).astype("<f4").tobytes()
        for start, stop in _split_ticks(first, last, BINARY_TICKS)
    )
    return BinaryExport(first, last, pieces)


def stream_csv(
    selection: ColumnSelection, columns: Sequence[str], first: int, last: int
) -> Iterator[bytes]:
    """Stream a header and one line per tick; with sparse columns alone, one line per point's tick.

    The cell of a sparse column is empty at a tick without a point. Points of tick 0, before any
    update, are a line in which the dense columns are empty.
    """
    yield encoders.csv_header(columns)
    if first <= 1:
        points = {name: selection.points(name, 1, 0) for name in selection.sparse}
        yield _csv_points(columns, points)
    for start, stop in _split_ticks(first, last, CSV_TICKS):
        points = {name: _points_from(selection, name, start, stop) for name in selection.sparse}
        if not selection.dense:
            yield _csv_points(columns, points)
            continue
        ticks = np.arange(start, stop + 1)
        cells = [
            _sparse_cells(name, ticks, points[name])
            if name in points
            else encoders.csv_cells(selection.values(name, start, stop))
            for name in columns
        ]
        yield encoders.csv_lines(ticks, cells)


def _points_from(selection: ColumnSelection, name: str, start: int, stop: int) -> Points:
    points = selection.points(name, start, stop)
    return points[points["tick"] >= start]  # without tick 0


def _csv_points(columns: Sequence[str], points: Mapping[str, Points]) -> bytes:
    """Encode one line per tick that has a point in any sparse column."""
    if not points:
        return b""
    ticks = np.unique(np.concatenate([column["tick"] for column in points.values()]))
    cells = [
        _sparse_cells(name, ticks, points[name]) if name in points else [""] * ticks.size
        for name in columns
    ]
    return encoders.csv_lines(ticks, cells)


def _sparse_cells(name: str, ticks: encoders.Ticks, points: Points) -> list[str]:
    encoded = (
        encoders.encode_digests(points["bits"])
        if name == STATE_COLUMN
        else encoders.csv_cells(decode_floats(points))
    )
    cells = dict(zip(points["tick"].tolist(), encoded, strict=True))
    return [cells.get(tick, "") for tick in ticks.tolist()]


def _split_ticks(first: int, last: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield (first, last) of consecutive pieces of at most `size` ticks."""
    for start in range(first, last + 1, size):
        yield start, min(start + size - 1, last)
