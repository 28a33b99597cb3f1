"""Finding jobs and what belongs to them: one by id, pages of many by filter. Changes nothing.

A list costs O(page): it walks the smallest index that a filter names, newest first, and looks at no
more than 1,000 candidates a page.
"""

import json
from collections.abc import Sequence
from typing import Any

import redis

from jobs import keys, presence
from jobs.claims import ANY_CANARY
from jobs.errors import NoSuchCheckpoint, NoSuchJob
from jobs.ids import is_job_id
from jobs.job import Attempt, Checkpoint, Job, Place
from jobs.record import Record, read_attempt, read_checkpoint, read_job
from jobs.walk import Page, Walk, sequence_of

Filter = tuple[str, str]  # (field, value)

MOST_CANDIDATES = 1000  # looked at for one page
MOST_BYTES = 4 << 20  # of specs (inline data!) in one page; the job that reaches it is the last
BATCH = 100  # records read in one round trip
INDEXED = ("status", "label", "name", "kind", "parent")


class Index:
    """Reads jobs, attempts and checkpoints of a tenant."""

    def __init__(self, store: "redis.Redis") -> None:
        self._store = store

    def job(self, tenant: str, job_id: str) -> Job:
        """Read one job. Raises NoSuchJob."""
        record: dict[bytes, bytes] = self._store.hgetall(keys.job(tenant, job_id))  # type: ignore[assignment]
        if not record:
            raise NoSuchJob(job_id)
        return self._jobs([record])[0]

    def jobs(
        self,
        tenant: str,
        *,
        filters: Sequence[Filter] = (),
        limit: int = 100,
        after: str | None = None,
        descending: bool = True,
    ) -> Page[Job]:
        """Read a page of the jobs that fit: any of the statuses, all of the other filters.

        It may have fewer than `limit`: with large specs, or where few of many candidates fit.

        Raises BadCursor for an `after` that no page gave out.
        """
        walk = Walk(self._store, self._smallest(tenant, filters), sequence_of(after), descending)
        found: list[Record] = []
        looked, cursor, size, full = 0, after, 0, False
        while not full and looked < MOST_CANDIDATES:
            batch = walk.next(min(BATCH, MOST_CANDIDATES - looked))
            for sequence, record in self._records(tenant, batch):
                looked, cursor = looked + 1, str(sequence)
                if record and _fits(record, filters):
                    found.append(record)
                    size += len(record[b"spec"])
                full = len(found) == limit or size > MOST_BYTES
                if full:
                    break
            if len(batch) == 0:
                return Page(self._jobs(found), None)
        more = walk.any_behind(sequence_of(cursor))
        return Page(self._jobs(found), cursor if more else None)

    def made_by(self, tenant: str, idempotency_key: str, body_digest: str) -> str | None:
        """Return the job that this key and body have made, if they have."""
        found = self._store.hget(keys.idempotency(tenant), idempotency_key)
        job_id, _, digest = bytes(found or b"").decode().partition(" ")  # type: ignore[arg-type]
        return job_id if is_job_id(job_id) and digest == body_digest else None

    def first_answer(self, tenant: str, job_id: str) -> str | None:
        """What the submission of this job was answered, if it had an idempotency key."""
        text: Any = self._store.hget(keys.job(tenant, job_id), "answer")
        return None if text is None else bytes(text).decode()

    def attempts(self, tenant: str, job_id: str) -> list[Attempt]:
        """Read all claims of a job, oldest first. Raises NoSuchJob."""
        count = self._store.hget(keys.job(tenant, job_id), "attempt")
        if count is None:
            raise NoSuchJob(job_id)
        with self._store.pipeline(transaction=False) as pipe:
            for number in range(1, int(count) + 1):
                pipe.hgetall(keys.attempt(tenant, job_id, number))
            return [read_attempt(record) for record in pipe.execute() if record]

    def checkpoints(self, tenant: str, job_id: str) -> list[Checkpoint]:
        """Read a job's committed checkpoints by tick; one of them at most is the best."""
        with self._store.pipeline(transaction=False) as pipe:
            pipe.hmget(keys.job(tenant, job_id), "status", "best_gone")
            pipe.hvals(keys.checkpoints(tenant, job_id))
            (status, best_gone), texts = pipe.execute()
        if status is None:
            raise NoSuchJob(job_id)
        kept = sorted((read_checkpoint(text) for text in texts), key=lambda each: each.tick)
        best = max((each.tick for each in kept if each.is_best), default=None)
        if best is not None and best <= int(best_gone or -1):  # outdone by one that was deleted
            best = None
        return [each.model_copy(update={"is_best": each.tick == best}) for each in kept]

    def checkpoint(self, tenant: str, job_id: str, which: str) -> Checkpoint:
        """Find one by tick, or as initial, latest, best or final. Raises NoSuchCheckpoint."""
        kept = self.checkpoints(tenant, job_id)
        found = [each for each in kept if _is(each, which)]
        if not found:
            raise NoSuchCheckpoint(which)
        return found[-1]

    def _smallest(self, tenant: str, filters: Sequence[Filter]) -> str:
        """The smallest set that holds every job that fits."""
        statuses = [value for field, value in filters if field == "status"]
        usable = [
            (field, value)
            for field, value in filters
            if field in INDEXED and (field != "status" or len(statuses) == 1)
        ]
        if not usable:
            return keys.index(tenant)
        names = [keys.index(tenant, field, value) for field, value in usable]
        with self._store.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.zcard(name)
            sizes = pipe.execute()
        return min(zip(sizes, names, strict=True))[1]

    def _records(
        self, tenant: str, batch: Sequence[tuple[bytes, float]]
    ) -> list[tuple[int, Record]]:
        with self._store.pipeline(transaction=False) as pipe:
            for job_id, _ in batch:
                pipe.hgetall(keys.job(tenant, job_id.decode()))
            records = pipe.execute()
        return [
            (int(sequence), record) for (_, sequence), record in zip(batch, records, strict=True)
        ]

    def _jobs(self, records: Sequence[Record]) -> list[Job]:
        waiting = [record for record in records if record.get(b"status") == b"queued"]
        places = dict(zip(map(id, waiting), self._places(waiting), strict=True))
        return [read_job(record, places.get(id(record))) for record in records]

    def _places(self, waiting: Sequence[Record]) -> list[Place]:
        if not waiting:
            return []
        workers = presence.live(self._store)
        with self._store.pipeline(transaction=False) as pipe:
            for record in waiting:
                name = keys.member(record[b"tenant"].decode(), record[b"id"].decode())
                pipe.zrank(keys.queued(record[b"queue"].decode()), name)
            ranks = pipe.execute()
        return [_place(record, rank, workers) for record, rank in zip(waiting, ranks, strict=True)]


def _is(checkpoint: Checkpoint, which: str) -> bool:
    named = {
        "initial": checkpoint.tick == 0,
        "latest": True,
        "best": checkpoint.is_best,
        "final": checkpoint.is_final,
    }
    return named.get(which, str(checkpoint.tick) == which)


def _fits(record: Record, filters: Sequence[Filter]) -> bool:
    statuses = [value.encode() for field, value in filters if field == "status"]
    if statuses and record[b"status"] not in statuses:
        return False
    return all(_has(record, field, value) for field, value in filters if field != "status")


def _has(record: Record, field: str, value: str) -> bool:
    if field != "label":
        return record.get(field.encode(), b"").decode() == value
    label, _, wanted = value.partition(":")
    return bool(json.loads(record[b"labels"]).get(label) == wanted)


def _place(record: Record, rank: int | None, workers: Sequence[presence.About]) -> Place:
    serving = [worker for worker in workers if worker.get("queue") == record[b"queue"].decode()]
    mine = [worker for worker in serving if _has_memory(record, worker)]
    reason: Any = "busy"
    if not mine:
        reason = "no_worker"
    elif not any(_has_engine(record, worker) and _has_canary(record, worker) for worker in mine):
        reason = "fingerprint"
    return Place(position=0 if rank is None else rank + 1, reason=reason)


def _has_memory(record: Record, worker: presence.About) -> bool:
    """Whether a worker has the memory that a job is thought to need, as far as it tells."""
    had: int | None = worker.get("memory_bytes")
    return had is None or int(record.get(b"memory") or 0) <= had


def _has_engine(record: Record, worker: presence.About) -> bool:
    """Whether a worker has the engine that a job must be trained by, as far as it tells."""
    identity = record.get(b"identity", b"").decode()
    begun = identity and _begun(record)
    name = identity.split()[0].split("-")[0] if begun else record.get(b"engine_asked", b"").decode()
    return not name or name in worker.get("engines", [name])


def _has_canary(record: Record, worker: presence.About) -> bool:
    """Whether a worker may give the bits that a job has, as far as is known."""
    canary = record.get(b"canary", b"").decode()
    required = record.get(b"required") == b"1" and bool(canary)
    if not required or not _begun(record) or _is_portable(record):
        return True
    mine = worker.get("canaries", {}).get(record[b"threads"].decode())
    return mine is None or mine == canary


def _begun(record: Record) -> bool:
    """Whether there are bits that a worker's must be equal to (has_bits of lua/prelude.lua)."""
    return record[b"tick"] != b"0" or record.get(b"kind") == b"verify" or b"begun" in record


def _is_portable(record: Record) -> bool:
    """Whether any canary gives its bits: of some engines, from a state on (lua/claim.lua)."""
    if f" {ANY_CANARY} " not in record.get(b"identity", b"").decode():
        return False
    if record.get(b"kind") == b"verify":
        return record[b"origin"] != b"0"
    return b"latest_checkpoint" in record
