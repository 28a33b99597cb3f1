"""Reads answers: one by id, or pages of a tenant's. Changes nothing."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from jobs.answers.answer import Answer, parse_answer
from jobs.errors import NoSuchJob
from jobs.job import QueuePosition
from jobs.queries.worker_registry import WorkerInfo, live_workers
from jobs.store import keys
from jobs.store.codec import Record
from jobs.store.connection import Store
from jobs.store.cursor import IndexCursor, Page
from jobs.store.page_budget import PageBudget, read_hashes

MAX_CANDIDATES, BATCH_SIZE = 1000, 100  # of a page; of one look at the index
MAX_PAGE_BYTES = 4 << 20  # of results; the answer that exceeds it is the last


class AnswerFilter(NamedTuple):
    """Which answers a list has; an empty or absent part lets all pass."""

    statuses: Sequence[str] = ()
    name: str | None = None
    parent: str | None = None
    labels: Sequence[str] = ()

    def matches(self, answer: Answer) -> bool:
        """Return whether an answer is one of them. None has labels."""
        is_chosen = not self.statuses or answer.status in self.statuses
        is_named = self.name in (None, answer.name) and self.parent in (None, answer.parent)
        return is_chosen and is_named and not self.labels


class AnswerQueries:
    """Reads the answers of a tenant."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, tenant: str, answer_id: str) -> Answer:
        """Read one answer. Raises NoSuchJob."""
        record: Any = self._store.hgetall(keys.answer(tenant, answer_id))
        if b"status" not in record:
            raise NoSuchJob(answer_id)
        return self._parse(record)

    def list_page(
        self, tenant: str, choice: AnswerFilter, limit: int, after: str | None, *, descending: bool
    ) -> Page[Answer]:
        """Read a page of the answers that match; it looks at MAX_CANDIDATES at most.

        Raises BadCursor.
        """
        index = IndexCursor(self._store, keys.answer_index(tenant), after, descending)
        chosen, budget, last = list[Answer](), PageBudget(limit, MAX_PAGE_BYTES), None
        for _ in range(MAX_CANDIDATES // BATCH_SIZE):
            members = index.read_next(BATCH_SIZE)
            names = [keys.answer(tenant, answer_id.decode()) for answer_id, _ in members]
            records = read_hashes(self._store, names, "result")
            for (_, sequence), record in zip(members, records, strict=True):
                last = int(sequence)
                if b"status" not in record:  # it has expired
                    continue
                if choice.matches(answer := self._parse(record)):
                    chosen.append(answer)
                    budget.spend(record.get(b"result", b"").decode())
                if budget.is_spent:
                    return Page(chosen, str(last) if index.has_more_after(last) else None)
            if len(members) < BATCH_SIZE:
                return Page(chosen, None)
        return Page(chosen, str(last))

    def find_by_idempotency_key(self, tenant: str, key: str, body_digest: str) -> str | None:
        """Return the id of the answer asked for with this key and body, or None."""
        entry: Any = self._store.get(keys.answer_idempotency(tenant, key))
        answer_id, _, digest = (entry or b"").decode().partition(" ")
        return answer_id if answer_id != "deleted" and digest == body_digest else None

    def has_worker(self) -> bool:
        """Return whether a live worker answers."""
        return any(map(_answers, live_workers(self._store)))

    def _parse(self, record: Record) -> Answer:
        if record[b"status"] != b"queued":
            return parse_answer(record)
        member = keys.job_member(record[b"tenant"].decode(), record[b"id"].decode())
        rank: Any = self._store.zrank(keys.ANSWER_QUEUE, member)
        reason: Any = "busy" if self.has_worker() else "no_worker"
        return parse_answer(record, QueuePosition(position=(rank or 0) + 1, reason=reason))


def _answers(worker: WorkerInfo) -> bool:
    return bool(worker.get("answers"))
