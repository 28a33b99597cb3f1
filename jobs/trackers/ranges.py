"""Choose the ticks and columns of a history that an export has. Knows no format."""

from collections.abc import Sequence

from jobs.history.errors import UnsupportedColumn
from jobs.history.history import HistoryReader
from jobs.job import Job
from jobs.trackers.tick_blocks import TickRange, settled_tick
from jobs.trackers.training_seconds import TIME_COLUMN
from jobs.values import STATE_COLUMN

#: columns that are no metric -> why an export has none of them
NO_METRICS = {
    TIME_COLUMN: "is the time of each tick in an export, and no metric of it",
    STATE_COLUMN: "is a digest, and no metric",
}


def select_ticks(
    history: HistoryReader, job: Job, columns: Sequence[str] | None = None, after: int = 0
) -> TickRange:
    """Choose the ticks after one, up to the newest that is settled; None: of all metrics.

    Raises NoSuchJob, UnknownColumn, UnsupportedColumn or DamagedHistory.
    """
    names = history.list_columns(job) if columns is None else list(columns)
    metrics = [name for name in names if name not in NO_METRICS]
    if columns is not None and len(metrics) < len(names):
        column = next(name for name in names if name in NO_METRICS)
        raise UnsupportedColumn(column, NO_METRICS[column])
    selection = history.select(job, [*metrics, TIME_COLUMN])
    first, last = selection.tick_range(after, settled_tick(selection) + 1)
    selection.check_files(first, last)
    return TickRange(selection, first, last)
