"""Finds jobs to be deleted by label, status and end. Reads what that needs, never a spec."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from jobs.job import TERMINAL_STATUSES
from jobs.store import keys
from jobs.store.connection import Store, read_clock_ms
from jobs.store.cursor import IndexCursor, Page

MAX_CANDIDATES = 1000  # of one page
FIELDS = ("status", "labels", "finished_ms")


@dataclass(frozen=True)
class EndedJobFilter:
    """All labels (key:value), any of the statuses, and an end before a time or so long ago."""

    labels: Sequence[str] = ()
    statuses: Sequence[str] = ()
    older_than: datetime | timedelta | None = None


class EndedJobs:
    """Reads pages of a tenant's jobs, in the order of submission."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def read_page(
        self, tenant: str, choice: EndedJobFilter, *, after: str | None
    ) -> Page[tuple[int, str]]:
        """Return sequence number and id of the jobs that match, of 1,000 candidates.

        Live jobs match by label alone. Raises BadCursor.
        """
        index = self._index(tenant, choice)
        candidates = IndexCursor(self._store, index, after, False).read_next(MAX_CANDIDATES + 1)
        examined = candidates[:MAX_CANDIDATES]
        with self._store.pipeline(transaction=False) as pipe:
            for job_id, _ in examined:
                pipe.hmget(keys.job(tenant, job_id.decode()), FIELDS)
            records = pipe.execute()
        latest_ms = self._latest_ms(choice)
        matching = [
            (int(sequence), job_id.decode())
            for (job_id, sequence), record in zip(examined, records, strict=True)
            if _matches(record, choice, latest_ms)
        ]
        has_more = len(candidates) > len(examined)
        return Page(matching, str(int(examined[-1][1])) if has_more else None)

    def _index(self, tenant: str, choice: EndedJobFilter) -> str:
        """Return an index of the filter: always the same one, since cursors are its numbers."""
        if choice.labels:
            return keys.job_index(tenant, "label", choice.labels[0])
        is_one_status = len(choice.statuses) == 1
        return keys.job_index(tenant, *(("status", choice.statuses[0]) if is_one_status else ()))

    def _latest_ms(self, choice: EndedJobFilter) -> float | None:
        if isinstance(choice.older_than, datetime):
            return choice.older_than.timestamp() * 1000
        if choice.older_than is None:
            return None
        return read_clock_ms(self._store) - choice.older_than / timedelta(milliseconds=1)


def _matches(
    record: Sequence[bytes | None], choice: EndedJobFilter, latest_ms: float | None
) -> bool:
    status, labels, finished_ms = record
    if status is None or (choice.statuses and status.decode() not in choice.statuses):
        return False
    known = json.loads(labels or b"{}")
    if any(known.get(label.split(":", 1)[0]) != label.split(":", 1)[1] for label in choice.labels):
        return False
    if latest_ms is None:
        return True
    is_ended = status.decode() in TERMINAL_STATUSES
    return is_ended and finished_ms is not None and float(finished_ms) < latest_ms
