"""The sparse points of segments in files, for a replay that compares them tick by tick."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from jobs.history.column_reader import ColumnReader, Extent, Points, segment_of
from jobs.history.summary_rows import SEGMENT


class _SegmentPoints(NamedTuple):
    """A column's points in one segment, and their ticks side by side."""

    segment: int
    ticks: npt.NDArray[np.uint64]
    points: Points


class MovedPoints:
    """Reads a column's file once a segment, not once a point: what is in files does not change."""

    def __init__(self, columns: ColumnReader) -> None:
        self._columns = columns
        self._current: dict[str, _SegmentPoints] = {}  # by column

    def at(self, extent: Extent, column: str, tick: int) -> Points:
        """Return the recorded point of a tick, or none -> POINT [0 or 1]."""
        segment, current = segment_of(tick), self._current.get(column)
        if current is None or current.segment != segment:
            first, last = segment * SEGMENT + min(segment, 1), (segment + 1) * SEGMENT
            points = self._columns.points(extent, column, first, last)
            ticks = np.ascontiguousarray(points["tick"])
            current = self._current[column] = _SegmentPoints(segment, ticks, points)
        start, stop = np.searchsorted(current.ticks, np.array([tick, tick + 1], np.uint64))
        return current.points[start:stop]
