"""A history in blocks of ticks: each tick with the columns that have a value at it, and its time.

Knows no format.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt

from jobs.history.column_reader import decode_floats
from jobs.history.selection import ColumnSelection
from jobs.job import Job
from jobs.trackers.training_seconds import TIME_COLUMN, PointReader, training_seconds

BLOCK_TICKS = 1 << 12  # in memory at once, and made at once for a client that may read nothing
Present = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class BlockColumn:
    """One column of a block: float32 or float64 [n]."""

    name: str
    values: npt.NDArray[np.float32] | npt.NDArray[np.float64]
    present: Present | None = None  # None: at every tick

    def take(self, chosen: Present) -> "BlockColumn":
        """Return the column at the chosen ticks."""
        present = None if self.present is None else self.present[chosen]
        return BlockColumn(self.name, self.values[chosen], present)


@dataclass(frozen=True)
class TickBlock:
    """Consecutive ticks, each with a value in some column, and seconds since the job's start."""

    ticks: npt.NDArray[np.int64]
    seconds: npt.NDArray[np.float64]
    columns: tuple[BlockColumn, ...]


@dataclass(frozen=True)
class TickRange:
    """The ticks first…last of a selection's columns; with tick 1 also those of tick 0.

    `columns` are the selected ones but for `time`, which becomes each tick's time.
    """

    selection: ColumnSelection
    first: int
    last: int

    @property
    def job(self) -> Job:
        """The job as it was read."""
        return self.selection.job

    @property
    def status(self) -> str:
        """The job's status when the history was looked at, which was after the job was read."""
        return self.selection.extent.status

    @property
    def is_complete(self) -> bool:
        """Whether the job has ended, so that these are its last ticks."""
        return self.selection.is_complete

    @property
    def created(self) -> float:
        """When the job was submitted, in seconds since 1970."""
        return datetime.fromisoformat(self.job.created_at).timestamp()

    @property
    def start(self) -> float:
        """When the job first began to train, in seconds since 1970."""
        return datetime.fromisoformat(self.job.started_at or self.job.created_at).timestamp()

    @property
    def elapsed_seconds(self) -> float:
        """Seconds of the training since the job's start; of a fork without its parents'."""
        return max(
            0.0, self.job.elapsed_seconds - self._seconds_before(PointReader(self.selection))
        )

    def blocks(self) -> Iterator[TickBlock]:
        """Read the ticks block by block."""
        points = PointReader(self.selection)
        before = self._seconds_before(points)
        if self.first <= 1:
            yield from self._read_block(points, before, 0, 0)
        for start in range(self.first, self.last + 1, BLOCK_TICKS):
            stop = min(start + BLOCK_TICKS - 1, self.last)
            yield from self._read_block(points, before, start, stop)

    def _seconds_before(self, points: PointReader) -> float:
        tick = self.job.first_tick - 1
        return float(training_seconds(points, tick, tick)[0])

    def _read_block(
        self, points: PointReader, before: float, first: int, last: int
    ) -> Iterator[TickBlock]:
        """Yield the block of these ticks, unless none of them has a value."""
        dense = () if last == 0 else self.selection.dense
        columns = [BlockColumn(name, self.selection.values(name, first, last)) for name in dense]
        sparse = [name for name in self.selection.sparse if name != TIME_COLUMN]
        columns += [_spread_points(points, name, first, last) for name in sparse]
        ticks = np.arange(first, last + 1)
        seconds = training_seconds(points, first, last) - before
        if not dense:
            has_value = np.zeros(ticks.size, np.bool_)
            for column in columns:
                has_value |= True if column.present is None else column.present
            columns = [column.take(has_value) for column in columns]
            ticks, seconds = ticks[has_value], seconds[has_value]
        if ticks.size:
            yield TickBlock(ticks, seconds, tuple(columns))


def settled_tick(selection: ColumnSelection) -> int:
    """Return the newest tick about which nothing more will be recorded.

    Of an ended job that is its last. Else the metrics of a chunk come with its point of `time`, and
    those of an end may come later for the last tick: so it is the tick before that point.
    """
    if selection.is_complete:
        return selection.extent.tick
    points = PointReader(selection).last_point(TIME_COLUMN, selection.extent.tick)
    return max(int(points["tick"][0]) - 1, 0) if points.size else 0


def _spread_points(points: PointReader, name: str, first: int, last: int) -> BlockColumn:
    recorded = points.points(name, first, last)
    values, present = np.zeros(last - first + 1), np.zeros(last - first + 1, np.bool_)
    places = recorded["tick"].astype(np.int64) - first
    values[places], present[places] = decode_floats(recorded), True
    return BlockColumn(name, values, present)
