"""Pages of the rows of jobs, for clients: the newest splits are kept in memory between pages."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from jobs.datasets.job_rows import PartName, RowParts, RowSet, list_parts, tick_rows
from jobs.datasets.row_splits import OpenFile
from jobs.job import Job

T = TypeVar("T")

#: rows of all splits in memory, at 8 bytes each; the newest split stays whatever its size
MAX_CACHED_ROWS = 8_000_000
#: what an entry takes beside its rows, which may be few or none, counted as rows: 1 KiB
ROWS_PER_ENTRY = 128


class JobRowPage(NamedTuple):
    """Numbers of rows, from 1, and how many there are in all."""

    rows: list[int]
    total: int


class JobRowReader:
    """Reads which rows a job trains on, validates on, tests on, or has in a tick.

    Both are functions of the spec and the data alone, so a job need not have run. Methods raise
    DatasetDeleted where the split depends on a file that is gone.
    """

    def __init__(self, open_file: OpenFile, max_cached_rows: int = MAX_CACHED_ROWS) -> None:
        self._open_file = open_file
        self._parts = RowCache[RowParts](max_cached_rows)
        self._batches = RowCache[RowSet](max_cached_rows // 8)

    def read_part(self, job: Job, name: PartName, after: int, limit: int) -> JobRowPage:
        """Read up to `limit` rows of a part of the data after its first `after`."""
        return _page(self._read_parts(job)[name], after, limit)

    def read_tick(self, job: Job, tick: int, after: int, limit: int) -> JobRowPage:
        """Read up to `limit` rows of a tick's batch (from 1) after its first `after`."""

        def make() -> tuple[RowSet, int]:
            rows = tick_rows(job.spec, self._read_parts(job)["training"], tick)
            return rows, rows.size

        return _page(self._batches.get_or_make(f"{job.id} {tick}", make), after, limit)

    def _read_parts(self, job: Job) -> RowParts:
        def make() -> tuple[RowParts, int]:
            is_text = job.spec.profile.text is not None  # of a text no row is stored
            return list_parts(job.spec, self._open_file), 0 if is_text else job.spec.profile.rows

        return self._parts.get_or_make(job.id, make)


class RowCache(Generic[T]):
    """The values used last, of at most `max_rows` rows together. Safe for threads."""

    def __init__(self, max_rows: int) -> None:
        self._max_rows, self._rows, self._lock = max_rows, 0, threading.Lock()
        self._entries: OrderedDict[str, tuple[T, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get_or_make(self, key: str, make: Callable[[], tuple[T, int]]) -> T:
        """Return the value of a key; `make` returns a new one and its rows."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None:
                self._entries.move_to_end(key)
        if entry is None:
            value, rows = make()
            entry = value, rows + ROWS_PER_ENTRY
            self._put(key, entry)
        return entry[0]

    def _put(self, key: str, entry: tuple[T, int]) -> None:
        """Add an entry, perhaps in the place of another thread's; drop the oldest beyond it."""
        with self._lock:
            _, replaced_rows = self._entries.pop(key, (None, 0))
            self._entries[key] = entry
            self._rows += entry[1] - replaced_rows
            while len(self._entries) > 1 and self._rows > self._max_rows:
                _, (_, rows) = self._entries.popitem(last=False)
                self._rows -= rows


def _page(rows: RowSet, after: int, limit: int) -> JobRowPage:
    return JobRowPage(rows.take(after, limit), rows.size)
