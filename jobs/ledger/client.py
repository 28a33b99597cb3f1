"""Changes of jobs without a lease; jobs/ledger/owner.py has those that need one.

Each method runs one script and may be sent twice; all times are the server's. Knows no file and no
HTTP.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, cast

from jobs.errors import (
    HoldLost,
    IllegalTransition,
    JobSpared,
    LeaseLost,
    NoSuchDataset,
    NoSuchJob,
    NotAccepted,
    NotTerminal,
    QueueFull,
)
from jobs.ids import new_job_id
from jobs.job import Lease, Transition
from jobs.ledger.claims import Question, VerifyRange
from jobs.ledger.fork_start import ForkStart
from jobs.memory_estimate import estimate_memory_bytes
from jobs.spec.about import MAX_NAME_CHARACTERS
from jobs.spec.job_spec import JobSpec
from jobs.store.connection import Store
from jobs.store.job_snapshot import JobSnapshot, parse_snapshot
from jobs.store.keys import job_member
from jobs.store.scripts import Scripts, check_hold, check_idempotency, check_quota

ANSWERS_QUEUE = "answers"  # of predicts and evaluates: no Celery worker serves it


@dataclass(frozen=True)
class SubmitResult:
    """The job of a submission; `is_new` is False for a repeated idempotency key."""

    job_id: str
    is_new: bool
    snapshot: JobSnapshot | None = None  # of a new job


@dataclass(frozen=True)
class DeleteResult:
    """A deleted job's sequence number, and the idempotency keys that were used for it.

    `event`: that of its tenant (JSON), where a rule of retention deleted it.
    """

    sequence: int
    idempotency_keys: list[str]
    event: bytes = b""


class JobLedger:
    """What clients ask of jobs, and the upkeep of ended ones.

    `move_segment` alone checks a lease, and only that of a live job.
    """

    def __init__(self, store: Store) -> None:
        self._scripts = Scripts(store)

    def submit(
        self,
        tenant: str,
        spec: JobSpec,
        *,
        idempotency_key: str | None = None,
        body_digest: str = "",
        max_queued: int | None = None,
        verify_range: VerifyRange | None = None,
        fork: ForkStart | None = None,
        question: Question | None = None,
    ) -> SubmitResult:
        """Store a new queued job, durable when this returns, or find the job of this key.

        With `verify_range` it is a verify and has its parent's spec; with `fork` its id, record and
        history begin with that. Raises IdempotencyMismatch,
        IdempotentResultDeleted, StoreFull, QueueFull once the tenant has `max_queued` queued jobs,
        QuotaExceeded, NoSuchDataset for a dataset of the spec that was deleted, NoSuchJob for a
        deleted parent, CheckpointMoved or CheckpointsHeld for a question whose checkpoint cannot be
        kept for it, HoldLost for a fork whose files may be gone; then nothing was stored.
        """
        fields = _verify_fields(spec, verify_range) if verify_range else _training_fields(spec)
        if question is not None:
            fields = _question_fields(question)
        if fork is not None:
            fields |= {"parent": fork.parent, "origin": fork.tick, "start": fork.header()}
        header = {
            "tenant": tenant,
            "id": fork.job_id if fork else new_job_id(),
            "queue": spec.queue,
            "threads": spec.compute.threads,
            "memory": estimate_memory_bytes(spec),
            "engine_asked": None if spec.compute.engine == "auto" else spec.compute.engine,
            **fields,
            "idempotency_key": idempotency_key,
            "body_digest": body_digest or "-",
            "max_queued": max_queued,
            "datasets": spec.datasets,
        }
        if question is not None:
            header |= {"queue": ANSWERS_QUEUE, "memory": 0, "engine_asked": None}
            header["datasets"] = dict([question.dataset])
        parts = [part.data for part in fork.open_parts] if fork else []
        answer, *rest = self._scripts.call("submit", header, json.dumps(spec.to_stored()), *parts)
        check_idempotency(answer, idempotency_key)
        check_quota(answer, rest)
        check_hold(answer, rest)
        if answer == b"full":
            raise QueueFull(max_queued or 0)
        if answer == b"no dataset":
            raise NoSuchDataset(rest[0].decode())
        if answer == b"no parent":
            raise NoSuchJob("the job that this one begins with")
        if answer == b"lost":
            raise HoldLost("copying the checkpoint took too long; send the request again")
        if answer == b"same":
            return SubmitResult(rest[0].decode(), is_new=False)
        return SubmitResult(rest[0].decode(), is_new=True, snapshot=parse_snapshot(rest[1:]))

    def hold_files(self, tenant: str, job_id: str, *, is_new: bool = False) -> None:
        """Say that files of a job that is not made yet are being written.

        Said again in time they stay; otherwise they are removed, as those of a dead process. Raises
        HoldLost where it was said too late.
        """
        header = {"member": job_member(tenant, job_id), "is_new": is_new or None}
        if self._scripts.call("hold_files", header)[0] == b"lost":
            raise HoldLost("copying the checkpoint took too long; send the request again")

    def store_response(self, tenant: str, job_id: str, response: str) -> None:
        """Store the response to a submission, to be sent again for its idempotency key."""
        self._scripts.call("store_response", {"member": job_member(tenant, job_id)}, response)

    def patch(
        self,
        tenant: str,
        job_id: str,
        *,
        name: str | None = None,
        labels: Mapping[str, str] | None = None,
        notes: str | None = None,
        priority: int | None = None,
    ) -> None:
        """Change a job's descriptive fields; None leaves a field alone. Raises NoSuchJob."""
        changes = {"name": name, "notes": notes}
        if labels is not None:
            changes["labels"] = json.dumps(dict(labels))
        fields = {field: text for field, text in changes.items() if text is not None}
        header = {"member": job_member(tenant, job_id), "fields": fields, "priority": priority}
        if self._scripts.call("patch", header)[0] == b"gone":
            raise NoSuchJob(job_id)

    def request_transition(
        self, tenant: str, job_id: str, transition: Transition
    ) -> Literal["done", "under_way"]:
        """Request a transition; return whether it is done, or under way until its owner acts.

        Raises NoSuchJob, or IllegalTransition with the actions that are allowed.
        """
        answer = self._request(tenant, job_id, transition, action=transition)
        return "done" if answer == b"done" else "under_way"

    def raise_illegal_transition(self, tenant: str, job_id: str, action: str) -> NoReturn:
        """Raise IllegalTransition for an action that is never a transition, or NoSuchJob."""
        self._request(tenant, job_id, "-", action=action)
        raise AssertionError("no status allows the transition '-'")

    def delete(
        self, tenant: str, job_id: str, *, spare: bool = False, rule: str | None = None
    ) -> DeleteResult:
        """Remove an ended job's record, leaving a tombstone. Raises NoSuchJob or NotTerminal.

        With `spare` raises JobSpared for one with a pinned checkpoint, or that a live job needs.
        `rule`: the rule of retention that deletes it, for the tenant's event.
        """
        header = {"member": job_member(tenant, job_id), "spare": spare or None, "rule": rule}
        answer, *rest = cast(list[Any], self._scripts.call("delete", header))
        if answer == b"gone":
            raise NoSuchJob(job_id)
        if answer == b"live":
            raise NotTerminal(rest[0].decode())
        if answer == b"spared":
            raise JobSpared(rest[0].decode())
        sequence, event, idempotency_keys = rest
        return DeleteResult(int(sequence), [key.decode() for key in idempotency_keys], event)

    def move_segment(
        self, tenant: str, job_id: str, segment: int, digests: Mapping[str, str], size: int,
        lease: Lease | None = None,
    ) -> None:  # fmt: skip
        """Replace a segment's strings by the digests of its files, `size` bytes in all.

        A live job's segment needs its lease; an ended job's does not. Raises NoSuchJob, LeaseLost,
        or NotAccepted for a live job's segment that has no accepted tick after it.
        """
        header: dict[str, Any] = {"member": job_member(tenant, job_id), "segment": segment}
        header |= {"digests": dict(digests), "bytes": size}
        if lease is not None:
            header |= {"term": lease.term, "nonce": lease.nonce}
        self._raise_if_refused(job_id, self._scripts.call("move_segment", header))

    def mark_finalized(self, tenant: str, job_id: str) -> None:
        """Record that an ended job's whole history is in files. Raises NoSuchJob or NotAccepted."""
        header = {"member": job_member(tenant, job_id)}
        self._raise_if_refused(job_id, self._scripts.call("mark_finalized", header))

    def take_due_wakeups(self, grace_seconds: float, limit: int = 64) -> dict[str, int]:
        """Return {queue: wake-up messages to send now}, at most `limit` for a queue.

        A queue is returned at most once in `grace_seconds`, over all callers.
        """
        header = {"grace_ms": max(1, int(grace_seconds * 1000)), "limit": limit}
        flat = self._scripts.call("wakeups_due", header)
        return {queue.decode(): int(n) for queue, n in zip(flat[::2], flat[1::2], strict=True)}

    def _request(self, tenant: str, job_id: str, verb: str, *, action: str) -> bytes:
        header = {"member": job_member(tenant, job_id), "verb": verb}
        answer, *rest = self._scripts.call("request_transition", header)
        if answer == b"gone":
            raise NoSuchJob(job_id)
        if answer == b"illegal":
            status, *allowed = (text.decode() for text in rest)
            raise IllegalTransition(action, status, allowed)
        return answer

    def _raise_if_refused(self, job_id: str, answer: list[bytes]) -> None:
        if answer[0] == b"gone":
            raise NoSuchJob(job_id)
        if answer[0] == b"fenced":
            raise LeaseLost(f"{job_id}: the lease is over")
        if answer[0] == b"early":
            raise NotAccepted(f"{job_id}: not at tick {int(answer[1])}")


def _training_fields(spec: JobSpec) -> dict[str, Any]:
    """Return the fields of a new training job."""
    return {
        "kind": "train",
        "name": spec.name,
        "labels": json.dumps(spec.labels),
        "notes": spec.notes,
        "priority": spec.priority,
        "notify": json.dumps(spec.notify) if spec.notify else None,
        "required": spec.compute.exact == "required",
        "ticks_total": spec.ticks_total,
        "open_ended": spec.budget.seconds is not None,
        "origin": 0,
    }


def _question_fields(question: Question) -> dict[str, Any]:
    """Return the fields of a predict or evaluate of a dataset; any worker can run it."""
    return {
        "kind": question.kind,
        "name": question.name,
        "labels": "{}",
        "notes": "",
        "priority": 0,
        "required": False,
        "open_ended": False,
        "parent": question.parent,
        "origin": question.tick,
        "folder": question.document["checkpoint"]["folder"],
        "question": json.dumps(question.document),
        "reserved_bytes": question.result_bytes or None,
    }


def _verify_fields(spec: JobSpec, verify_range: VerifyRange) -> dict[str, Any]:
    """Return the fields of a verify; only a worker of an equal fingerprint can compare ticks."""
    return {
        "kind": "verify",
        "name": f"verify of {spec.name}"[:MAX_NAME_CHARACTERS],
        "labels": "{}",
        "notes": "",
        "priority": 0,
        "required": True,
        "ticks_total": verify_range.end,
        "open_ended": False,
        "parent": verify_range.parent,
        "origin": verify_range.start,
    }
