"""Reads jobs, attempts and checkpoints: one by id, or pages by filter. Changes nothing.

A page reads the smallest index among its filters, newest first, and at most 1,000 candidates.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, cast

from jobs.errors import NoSuchCheckpoint, NoSuchJob
from jobs.ids import is_job_id
from jobs.job import Attempt, Checkpoint, Job, QueuePosition
from jobs.store import keys
from jobs.store.codec import Record, parse_attempt, parse_checkpoint, parse_job
from jobs.store.connection import Store
from jobs.store.cursor import IndexCursor, Page, parse_cursor
from jobs.store.numbering import attempt_numbering
from jobs.store.scripts import Scripts

Filter = tuple[str, str]  # (field, value)

MAX_CANDIDATES = 1000  # for one page
MAX_PAGE_BYTES = 4 << 20  # of long fields; the job that exceeds it is the last
#: fields whose length counts in a page: specs have inline data, answers of earlier builds specs
LONG_FIELDS = ("spec", "labels", "notes", "answer")
BATCH_SIZE = 100  # records read in one round trip
NOT = "!"  # before the value of a kind: all others
INDEXED_FIELDS = ("status", "label", "name", "kind", "parent")


class _Candidate(NamedTuple):
    """A job of an index: the fields that filters look at, and the bytes of its long ones."""

    job_id: str
    sequence: int
    fields: Record
    bytes: int


class JobQueries:
    """Reads jobs, attempts and checkpoints of a tenant."""

    def __init__(self, store: Store) -> None:
        self._store, self._scripts = store, Scripts(store)

    def get_job(self, tenant: str, job_id: str) -> Job:
        """Read one job. Raises NoSuchJob."""
        record: dict[bytes, bytes] = self._store.hgetall(keys.job(tenant, job_id))  # type: ignore[assignment]
        if not record:
            raise NoSuchJob(job_id)
        return self._make_jobs([record])[0]

    def count_missing_wakeups(self, queue: str) -> int:
        """Return how many queued jobs have no wake-up that waits; below 0: there are too many."""
        pipeline = self._store.pipeline(transaction=True)
        pipeline.zcard(keys.queued_jobs(queue))
        pipeline.llen(keys.celery_queue(queue))
        queued_jobs, wakeups = pipeline.execute()
        return int(queued_jobs) - int(wakeups)

    def list_jobs(
        self,
        tenant: str,
        *,
        filters: Sequence[Filter] = (),
        limit: int = 100,
        after: str | None = None,
        descending: bool = True,
    ) -> Page[Job]:
        """Read a page of the jobs that have any of the statuses and match all other filters.

        It may have fewer than `limit` jobs: with large specs, or where few candidates match.
        Raises BadCursor for an `after` that no page gave out.
        """
        index = self._smallest_index(tenant, filters)
        index_cursor = IndexCursor(self._store, index, after, descending)
        chosen: list[str] = []
        examined, cursor, size, is_full = 0, after, 0, False
        while not is_full and examined < MAX_CANDIDATES:
            count = min(BATCH_SIZE, MAX_CANDIDATES - examined)
            batch = index_cursor.read_next(count if filters else min(count, limit - len(chosen)))
            for candidate in self._read_candidates(tenant, batch, filters):
                examined, cursor = examined + 1, str(candidate.sequence)
                if _matches_filters(candidate.fields, filters):
                    chosen.append(candidate.job_id)
                    size += candidate.bytes
                is_full = len(chosen) == limit or size > MAX_PAGE_BYTES
                if is_full:
                    break
            if len(batch) == 0:
                return Page(self._read_jobs(tenant, chosen, filters), None)
        has_more = index_cursor.has_more_after(parse_cursor(cursor))
        return Page(self._read_jobs(tenant, chosen, filters), cursor if has_more else None)

    def find_by_idempotency_key(
        self, tenant: str, idempotency_key: str, body_digest: str
    ) -> str | None:
        """Return the id of the job submitted with this key and body, or None."""
        entry = self._store.hget(keys.idempotency(tenant), idempotency_key)
        job_id, _, digest = bytes(entry or b"").decode().partition(" ")  # type: ignore[arg-type]
        return job_id if is_job_id(job_id) and digest == body_digest else None

    def get_stored_response(self, tenant: str, job_id: str) -> str | None:
        """Return the stored response to the job's submission, or None without one."""
        text: Any = self._store.hget(keys.job(tenant, job_id), "answer")
        return None if text is None else bytes(text).decode()

    def list_attempts(self, tenant: str, job_id: str) -> list[Attempt]:
        """Read all attempts of a job, oldest first. Raises NoSuchJob."""
        fields: Any = self._store.hmget(keys.job(tenant, job_id), "attempt", "rebuilds", "question")
        count, numbering = fields[0], attempt_numbering(fields[1])
        if count is None:
            raise NoSuchJob(job_id)
        with self._store.pipeline(transaction=False) as pipe:
            for number in range(1, int(count) + 1):
                pipe.hgetall(keys.attempt(tenant, job_id, number))
            attempts = [parse_attempt(record) for record in pipe.execute() if record]
        no_ticks = {"first_tick": 0, "last_tick": 0} if fields[2] is not None else {}
        return [
            attempt.model_copy(update={"cursor": numbering.number(attempt.number), **no_ticks})
            for attempt in attempts
        ]

    def list_checkpoints(self, tenant: str, job_id: str) -> list[Checkpoint]:
        """Read a job's committed checkpoints by tick; at most one is the best. Raises NoSuchJob."""
        with self._store.pipeline(transaction=False) as pipe:
            pipe.hmget(keys.job(tenant, job_id), "status", "best_gone")
            pipe.hvals(keys.checkpoints(tenant, job_id))
            (status, best_gone), texts = pipe.execute()
        if status is None:
            raise NoSuchJob(job_id)
        checkpoints = sorted(map(parse_checkpoint, texts), key=lambda saved: saved.tick)
        best = max((saved.tick for saved in checkpoints if saved.is_best), default=-1)
        if best <= int(best_gone or -1):  # a better one was deleted
            best = -1
        return [saved.model_copy(update={"is_best": saved.tick == best}) for saved in checkpoints]

    def get_checkpoint(self, tenant: str, job_id: str, selector: str) -> Checkpoint:
        """Find a checkpoint by tick, or as initial, latest, best or final.

        Raises NoSuchJob or NoSuchCheckpoint.
        """
        for checkpoint in reversed(self.list_checkpoints(tenant, job_id)):
            if _matches_selector(checkpoint, selector):
                return checkpoint
        raise NoSuchCheckpoint(selector)

    def _smallest_index(self, tenant: str, filters: Sequence[Filter]) -> str:
        """Return the key of the smallest index that has every matching job."""
        statuses = [value for field, value in filters if field == "status"]
        names = [
            keys.job_index(tenant, field, value)
            for field, value in filters
            if field in INDEXED_FIELDS
            and (field, value[:1]) != ("kind", NOT)
            and (field != "status" or len(statuses) == 1)
        ]
        if not names:
            return keys.job_index(tenant)
        with self._store.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.zcard(name)
            sizes = pipe.execute()
        return min(zip(sizes, names, strict=True))[1]

    def _read_candidates(
        self, tenant: str, batch: Sequence[tuple[bytes, float]], filters: Sequence[Filter]
    ) -> Iterator[_Candidate]:
        """Read what the filters look at, and how long the rest is."""
        names = ["id", *{"labels" if field == "label" else field for field, _ in filters}]
        with self._store.pipeline(transaction=False) as pipe:
            for job_id, _ in batch:
                key = keys.job(tenant, job_id.decode())
                pipe.hmget(key, names)
                for field in LONG_FIELDS:
                    pipe.hstrlen(key, field)
            replies: Any = iter(pipe.execute())
        for job_id, sequence in batch:
            values, sizes = next(replies), [next(replies) for _ in LONG_FIELDS]
            present = zip(map(str.encode, names), values, strict=True)
            fields = {name: value for name, value in present if value is not None}
            yield _Candidate(job_id.decode(), int(sequence), fields, sum(sizes))

    def _read_jobs(
        self, tenant: str, job_ids: Sequence[str], filters: Sequence[Filter]
    ) -> list[Job]:
        """Read these jobs, without those that were deleted or changed meanwhile."""
        with self._store.pipeline(transaction=False) as pipe:
            for job_id in job_ids:
                pipe.hgetall(keys.job(tenant, job_id))
            records: Any = pipe.execute()
        return self._make_jobs([record for record in records if _matches_filters(record, filters)])

    def _make_jobs(self, records: Sequence[Record]) -> list[Job]:
        waiting = [record for record in records if record.get(b"status") == b"queued"]
        positions = dict(zip(map(id, waiting), self._queue_positions(waiting), strict=True))
        return [parse_job(record, positions.get(id(record))) for record in records]

    def _queue_positions(self, waiting: Sequence[Record]) -> list[QueuePosition]:
        if not waiting:
            return []
        names = [(record[b"tenant"].decode(), record[b"id"].decode()) for record in waiting]
        members = [keys.job_member(*name) for name in names]
        flat = self._scripts.call("queue_positions", {"members": members})
        return [
            QueuePosition(position=int(position), reason=cast(Any, reason.decode() or None))
            for position, reason in zip(flat[::2], flat[1::2], strict=True)
        ]


def _matches_selector(checkpoint: Checkpoint, selector: str) -> bool:
    by_name = {"initial": checkpoint.tick == 0, "latest": True}
    by_name |= {"best": checkpoint.is_best, "final": checkpoint.is_final}
    return by_name.get(selector, str(checkpoint.tick) == selector)


def _matches_filters(record: Record, filters: Sequence[Filter]) -> bool:
    """Return whether there is such a job and all filters let it pass."""
    if not record:
        return False
    statuses = [value.encode() for field, value in filters if field == "status"]
    if statuses and record[b"status"] not in statuses:
        return False
    others = [(field, value) for field, value in filters if field != "status"]
    return all(_matches_field(record, field, value) for field, value in others)


def _matches_field(record: Record, field: str, value: str) -> bool:
    if field == "kind" and value.startswith(NOT):
        return record.get(b"kind", b"").decode() != value.removeprefix(NOT)
    if field != "label":
        return record.get(field.encode(), b"").decode() == value
    label, _, label_value = value.partition(":")
    return bool(json.loads(record[b"labels"]).get(label) == label_value)
