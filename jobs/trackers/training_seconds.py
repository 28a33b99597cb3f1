"""Points of sparse columns, and the training's seconds at each tick. Knows no format.

A history has no time for each tick: it has the training's seconds at the end of each chunk, in the
sparse column `time`.
"""

import numpy as np
import numpy.typing as npt

from jobs.history.column_reader import Points, decode_floats, segments_of
from jobs.history.selection import ColumnSelection
from jobs.history.summary_rows import SEGMENT

TIME_COLUMN = "time"
FIRST_STRIDE = 1 << 14  # ticks that a search for a point looks at first


class PointReader:
    """Reads points of consecutive ticks: keeps one segment of each column, read at once."""

    def __init__(self, selection: ColumnSelection) -> None:
        self._selection = selection
        self._segments: dict[str, tuple[int, Points]] = {}
        self.last_tick = selection.extent.tick

    def points(self, name: str, first: int, last: int) -> Points:
        """Read the points of the ticks first…last; 0 is before any update."""
        first, last = max(first, 0), min(last, self.last_tick)
        if last < first:
            return self._selection.points(name, 1, 0)[:0]
        pieces = [self._read_segment(name, segment) for segment in segments_of(first, last)]
        points = np.concatenate(pieces)
        start, stop = np.searchsorted(points["tick"], np.array([first, last + 1], np.uint64))
        return points[start:stop]

    def first_point(self, name: str, start: int) -> Points:
        """Return the first point from a tick on as an array of one; of none if there is none."""
        stride = FIRST_STRIDE
        while start <= self.last_tick:
            points = self.points(name, start, start + stride - 1)
            if points.size:
                return points[:1]
            start, stride = start + stride, 4 * stride
        return self.points(name, 1, 0)

    def last_point(self, name: str, upto: int) -> Points:
        """Return the newest point up to a tick as an array of one; of none if there is none."""
        stride = FIRST_STRIDE
        while upto >= 0:
            points = self.points(name, upto - stride + 1, upto)
            if points.size:
                return points[-1:]
            upto, stride = upto - stride, 4 * stride
        return self.points(name, 1, 0)

    def _read_segment(self, name: str, segment: int) -> Points:
        known_segment, points = self._segments.get(name, (None, None))
        if points is None or known_segment != segment:
            first, last = segment * SEGMENT + 1, min((segment + 1) * SEGMENT, self.last_tick)
            points = self._selection.points(name, first, last)
            self._segments[name] = segment, points
        return points


def training_seconds(points: PointReader, first: int, last: int) -> npt.NDArray[np.float64]:
    """Return the training's seconds at the ticks first…last -> [last - first + 1].

    0 at tick 0; between two points they are interpolated, so that what is known up to a point does
    not change when others come; after the last point they are its own.
    """
    joined = np.concatenate(
        [
            points.last_point(TIME_COLUMN, first - 1),
            points.points(TIME_COLUMN, first, last),
            points.first_point(TIME_COLUMN, last + 1),
        ]
    )
    ticks, seconds = joined["tick"].astype(np.float64), decode_floats(joined)
    return np.asarray(np.interp(np.arange(first, last + 1), [0, *ticks], [0, *seconds]))
