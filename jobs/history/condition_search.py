"""Whether a recorded tick meets a condition: found from summary rows, each tick looked at once.

10^8 ticks are 98 thousand rows of 24 bytes; values are read at the ragged ends, and where a bucket
has values that are not finite. Knows no HTTP.
"""

import numpy as np

from jobs.history.column_reader import ColumnReader, decode_floats
from jobs.history.selection import ColumnSelection, select_columns
from jobs.history.summary_rows import BUCKET, Edges
from jobs.job import Job
from jobs.spec.conditions import Condition


class ConditionSearch:
    """Looks for a tick of one job's own that meets a condition on a dense or sparse column."""

    def __init__(self, reader: ColumnReader, job: Job, condition: Condition) -> None:
        self._reader, self._job, self._condition = reader, job, condition
        self._next_tick = job.first_tick  # the first one not looked at
        self._is_met = False

    def look(self) -> bool:
        """Return whether a tick that is recorded by now meets it.

        Raises NoSuchJob, UnknownColumn or DamagedHistory.
        """
        self._is_met = self._is_met or self._look_further()
        return self._is_met

    def _look_further(self) -> bool:
        selection = select_columns(self._reader, self._job, [self._condition.column])
        first, last = self._next_tick, selection.extent.tick
        if last < self._job.first_tick:
            return False
        if selection.sparse:
            # a validation at a job's end comes after its tick
            first = max(self._job.first_tick, first - 1)
            points = selection.points(self._condition.column, first, last)
            is_met = bool(self._condition.compare(decode_floats(points)).any())
        else:
            is_met = last >= first and self._is_met_within(selection, first, last)
        self._next_tick = max(first, last + 1)
        return is_met

    def _is_met_within(self, selection: ColumnSelection, first: int, last: int) -> bool:
        condition, column = self._condition, self._condition.column
        if last - first < BUCKET:
            return bool(condition.compare(selection.values(column, first, last)).any())
        edges = _row_edges(first, last)
        summaries = selection.downsample(column, edges)
        extremes = summaries["min"] if condition.operator == "<" else summaries["max"]
        if condition.compare(extremes).any():  # a bucket without finite values meets nothing
            return True
        for at in np.flatnonzero(summaries["nonfinite"] > 0):
            values = selection.values(column, int(edges[at]), int(edges[at + 1]) - 1)
            if condition.compare(values).any():
                return True
        return False


def _row_edges(first: int, last: int) -> Edges:
    """Return the edges of the summary rows that overlap first…last, cut at both ends."""
    inner = np.arange((first - 1) // BUCKET + 1, (last - 1) // BUCKET + 1) * BUCKET + 1
    return np.concatenate(([first], inner, [last + 1])).astype(np.int64)
