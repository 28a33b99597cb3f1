"""Columns of one job's history, checked, up to the extent that it had at the query.

Knows no encoding. Dense columns have one value per tick, stored or computed (`lr`); sparse ones
have points at some ticks.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jobs.history.column_reader import ColumnReader, Extent, Points
from jobs.history.downsampling import downsample
from jobs.history.errors import UnknownColumn
from jobs.history.learning_rate import compute_rates, downsample_rates
from jobs.history.summary_rows import Edges, Floats, Summaries
from jobs.job import TERMINAL_STATUSES, Job
from jobs.spec.job_spec import JobSpec
from jobs.values import STATE_COLUMN

RATE_COLUMN = "lr"


@dataclass(frozen=True)
class ColumnSelection:
    """The requested columns of a job, and the extent that every read of them is limited to."""

    reader: ColumnReader
    extent: Extent
    spec: JobSpec
    dense: tuple[str, ...]  # in the requested order, including `lr`
    sparse: tuple[str, ...]
    exact: bool
    inexact_from: int | None  # first tick whose bits belong to another fingerprint

    @property
    def job_id(self) -> str:
        """The job's id."""
        return self.extent.job_id

    @property
    def is_complete(self) -> bool:
        """Whether the job has ended, so that the history will not grow."""
        return self.extent.status in TERMINAL_STATUSES

    def tick_range(self, after: int, before: int | None) -> tuple[int, int]:
        """Return first and last recorded tick between exclusive bounds; last < first if none."""
        first = max(after, 0) + 1
        last = self.extent.tick if before is None else min(self.extent.tick, before - 1)
        return first, max(last, first - 1)

    def values(self, column: str, first: int, last: int) -> Floats:
        """Read a dense column -> float32 (`lr`: float64) [last - first + 1], possibly empty."""
        if last < first:
            return np.empty(0, np.float32)
        if column == RATE_COLUMN:
            return compute_rates(self.spec.rate, first, last)
        return self.reader.values(self.extent, column, first, last)

    def points(self, column: str, first: int, last: int) -> Points:
        """Read the points of a sparse column; first 1 includes tick 0 (before any update)."""
        return self.reader.points(self.extent, column, 0 if first <= 1 else first, last)

    def downsample(self, column: str, edges: Edges) -> Summaries:
        """Summarize a dense column in the buckets of `edges`."""
        if column == RATE_COLUMN:
            return downsample_rates(self.spec.rate, edges, self.spec.schedule.warmup_ticks)
        return downsample(_BoundColumn(self.reader, self.extent, column), edges)


def select_columns(reader: ColumnReader, job: Job, columns: Iterable[str]) -> ColumnSelection:
    """Read a job's extent and check the requested columns. Raises NoSuchJob or UnknownColumn."""
    extent = reader.read_extent(job.tenant, job.id)
    dense = [*dict.fromkeys([*job.spec.record, *extent.columns]), RATE_COLUMN]
    sparse = sparse_names(job.spec)
    names = list(dict.fromkeys(columns))
    if unknown := [name for name in names if name not in dense and name not in sparse]:
        raise UnknownColumn(unknown, [*dense, *sparse])
    return ColumnSelection(
        reader,
        extent,
        job.spec,
        tuple(name for name in names if name in dense),
        tuple(name for name in names if name in sparse),
        job.exact,
        job.inexact_from,
    )


def sparse_names(spec: JobSpec) -> list[str]:
    """Return the columns of a spec that have values at some ticks only."""
    validation_columns = []
    if spec.validation is not None:
        validation_columns = ["val_loss"]
        if spec.profile.kind == "class":
            validation_columns.append("val_accuracy")
    return [*validation_columns, "time", STATE_COLUMN]


@dataclass(frozen=True)
class _BoundColumn:
    """A stored dense column, as `downsample` takes it."""

    reader: ColumnReader
    extent: Extent
    column: str

    def values(self, first: int, last: int) -> npt.NDArray[np.float32]:
        return self.reader.values(self.extent, self.column, first, last)

    def rows(self, start: int, stop: int) -> Summaries:
        return self.reader.rows(self.extent, self.column, start, stop)
