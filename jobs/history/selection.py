"""Columns of one job's history, checked, up to the extent that it had at the query.

Knows no encoding. Dense columns have one value per tick, stored or computed (`lr`); sparse ones
have points at some ticks.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np

from jobs.history.column_reader import ColumnReader, Extent, Points
from jobs.history.downsampling import downsample
from jobs.history.errors import UnknownColumn
from jobs.history.learning_rate import compute_rates, downsample_rates
from jobs.history.line_rates import find_knees, line_rate
from jobs.history.summary_rows import Edges, Floats, Summaries
from jobs.job import TERMINAL_STATUSES, Job
from jobs.spec.condition_checks import RATE_COLUMN
from jobs.spec.job_spec import JobSpec
from jobs.values import STATE_COLUMN


@dataclass(frozen=True)
class ColumnSelection:
    """The requested columns of a job, and the extent that every read of them is limited to."""

    reader: ColumnReader
    extent: Extent
    job: Job
    dense: tuple[str, ...]  # in the requested order, including `lr`
    sparse: tuple[str, ...]

    @property
    def is_complete(self) -> bool:
        """Whether the job has ended, so that the history will not grow."""
        return self.extent.status in TERMINAL_STATUSES

    def tick_range(self, after: int, before: int | None) -> tuple[int, int]:
        """Return first and last recorded tick between exclusive bounds; last < first if none."""
        first = max(after, self.job.first_tick - 1) + 1
        last = self.extent.tick if before is None else min(self.extent.tick, before - 1)
        return first, max(last, first - 1)

    def values(self, column: str, first: int, last: int) -> Floats:
        """Read a dense column -> float32 (`lr`: float64) [last - first + 1], possibly empty."""
        if last < first:
            return np.empty(0, np.float32)
        if column == RATE_COLUMN:
            return compute_rates(line_rate(self.job), first, last)
        return self.reader.values(self.extent, column, first, last)

    def points(self, column: str, first: int, last: int) -> Points:
        """Read the points of a sparse column; first 1 includes tick 0 (before any update)."""
        return self.reader.points(self.extent, column, 0 if first <= 1 else first, last)

    def check_files(self, first: int, last: int) -> None:
        """Raise DamagedHistory unless all files with the values of these ticks are intact."""
        stored = [name for name in self.dense if name != RATE_COLUMN and last >= first]
        self.reader.check_files(self.extent, stored, self.sparse, 0 if first <= 1 else first, last)

    def downsample(self, column: str, edges: Edges) -> Summaries:
        """Summarize a dense column in the buckets of `edges`."""
        if column == RATE_COLUMN:
            return downsample_rates(line_rate(self.job), edges, find_knees(self.job))
        read_values = partial(self.reader.values, self.extent, column)
        return downsample(read_values, partial(self.reader.rows, self.extent, column), edges)


def select_columns(reader: ColumnReader, job: Job, columns: Iterable[str]) -> ColumnSelection:
    """Read a job's extent and check the requested columns. Raises NoSuchJob or UnknownColumn."""
    extent = reader.read_extent(job.tenant, job.id)
    dense = [*dict.fromkeys([*job.spec.record, *extent.columns]), RATE_COLUMN]
    sparse = sparse_names(job.spec)
    names = list(dict.fromkeys(columns))
    if unknown := [name for name in names if name not in dense and name not in sparse]:
        raise UnknownColumn(unknown, [*dense, *sparse])
    requested_dense = tuple(name for name in names if name in dense)
    requested_sparse = tuple(name for name in names if name in sparse)
    return ColumnSelection(reader, extent, job, requested_dense, requested_sparse)


def list_columns(extent: Extent, spec: JobSpec) -> list[str]:
    """Return the names of all columns of a history; before its first tick none is recorded."""
    return [*extent.columns, RATE_COLUMN, *sparse_names(spec)]


def sparse_names(spec: JobSpec) -> list[str]:
    """Return the columns of a spec that have values at some ticks only."""
    return [*spec.metric_names, "time", STATE_COLUMN]
