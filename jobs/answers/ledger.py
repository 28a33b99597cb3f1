"""The scripts of answers: what clients and workers change of them. Knows no file and no HTTP.

An export, which makes a file of a checkpoint, is an answer that no client lists or names.

Each method runs one script and may be sent twice. Every key expires.
"""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from jobs.errors import IllegalTransition, LeaseLost, NoSuchJob, NotTerminal, QueueFull
from jobs.ids import new_job_id
from jobs.job import Checkpoint, Status, Transition
from jobs.store import keys
from jobs.store.codec import encode_checkpoint, parse_checkpoint
from jobs.store.connection import Store
from jobs.store.scripts import Scripts, check_hold, check_idempotency, check_quota

MAX_ATTEMPTS = 3  # claims after which an answer fails
MAX_REASON_CHARS = 2_000
EXPORT_HOLD_SECONDS = 60  # that the checkpoint of an export stays after it, for the download


@dataclass(frozen=True)
class NewAnswer:
    """What is asked of a job's checkpoint; `request` is the JSON that the process gets."""

    parent: str
    name: str
    checkpoint: Checkpoint
    threads: int
    request: dict[str, Any]
    selector: str | None = None  # of an export, if its checkpoint was not asked for by tick


@dataclass(frozen=True)
class AnswerLimits:
    """How long answers are kept, and what one tenant may have of them at a time."""

    ttl_seconds: float
    max_queued: int
    max_bytes: int


@dataclass(frozen=True)
class AnswerClaim:
    """An answer that its worker owns until the lease is over."""

    tenant: str
    answer_id: str
    nonce: str
    attempt: int
    parent: str
    threads: int
    request: dict[str, Any]
    checkpoint: Checkpoint

    @property
    def member(self) -> str:
        """Return its name in sets."""
        return keys.job_member(self.tenant, self.answer_id)


def export_id(job_id: str, folder: str) -> str:
    """Return the id of the export of the checkpoint in a folder: the same for all who ask."""
    return f"export:{job_id}:{folder}"


class AnswerLedger:
    """What clients ask of answers."""

    def __init__(self, store: Store) -> None:
        self._scripts = Scripts(store)

    def submit(
        self,
        tenant: str,
        new: NewAnswer,
        limits: AnswerLimits,
        *,
        idempotency_key: str | None = None,
        body_digest: str = "",
    ) -> tuple[str, bool]:
        """Queue an answer; return its id, and whether this is a repetition.

        Its checkpoint stays until it has ended, unless a client deletes it. Raises
        IdempotencyMismatch, IdempotentResultDeleted, CheckpointMoved, CheckpointsHeld, QueueFull,
        QuotaExceeded or StoreFull.
        """
        key = {"idempotency_key": idempotency_key, "body_digest": body_digest or "-"}
        names = {"tenant": tenant, "id": new_job_id(), "kind": "predict", **key}
        answer, rest = self._submit(names, new, limits)
        check_idempotency(answer, idempotency_key)
        check_quota(answer, rest)
        return rest[0].decode(), answer == b"same"

    def submit_export(self, tenant: str, new: NewAnswer, limits: AnswerLimits) -> None:
        """Queue an export of this checkpoint, unless one waits, runs or has failed.

        Its checkpoint stays until its file can have been fetched. Raises CheckpointMoved,
        CheckpointsHeld, QueueFull, QuotaExceeded or StoreFull.
        """
        names = {
            "tenant": tenant, "id": export_id(new.parent, new.checkpoint.folder), "kind": "export",
            "hold_ms": 1000 * EXPORT_HOLD_SECONDS,
        }  # fmt: skip
        check_quota(*self._submit(names, new, limits))

    def _submit(
        self, names: dict[str, Any], new: NewAnswer, limits: AnswerLimits
    ) -> tuple[bytes, list[bytes]]:
        header = {
            **names, "parent": new.parent, "name": new.name,
            "tick": new.checkpoint.tick, "threads": new.threads,
            "ttl_ms": int(limits.ttl_seconds * 1000), "max_queued": limits.max_queued,
            "max_bytes": limits.max_bytes, "selector": new.selector,
        }  # fmt: skip
        texts = (json.dumps(new.request), encode_checkpoint(new.checkpoint))
        answer, *rest = self._scripts.call("answer_submit", header, *texts)
        if answer == b"full":
            raise QueueFull(limits.max_queued)
        check_hold(answer, rest)
        return answer, rest

    def cancel(self, tenant: str, answer_id: str, action: Transition) -> bool:
        """Cancel an answer; return whether that is done, rather than under way.

        Raises NoSuchJob, or IllegalTransition for any other action, or an answer that has ended.
        """
        member = keys.job_member(tenant, answer_id)
        if action != "cancel":
            raise IllegalTransition(action, "a predict", ["cancel"])
        answer, *rest = self._scripts.call("answer_cancel", {"member": member})
        if answer == b"gone":
            raise NoSuchJob(answer_id)
        if answer == b"illegal":
            raise IllegalTransition(action, rest[0].decode(), [])
        return answer == b"done"

    def delete(self, tenant: str, answer_id: str) -> None:
        """Remove an answer that has ended. Raises NoSuchJob or NotTerminal."""
        member = keys.job_member(tenant, answer_id)
        answer, *rest = self._scripts.call("answer_delete", {"member": member})
        if answer == b"gone":
            raise NoSuchJob(answer_id)
        if answer == b"live":
            raise NotTerminal(rest[0].decode())


class AnswerLeases:
    """What the owner of an answer does: a worker, for as long as its lease lasts."""

    def __init__(self, store: Store, lease_seconds: float, *, exports: bool = False) -> None:
        """With `exports` it claims exports alone, else none."""
        self._scripts, self._lease_ms = Scripts(store), int(lease_seconds * 1000)
        self._exports = exports

    def claim(self, worker: str, nonce: str | None = None) -> AnswerClaim | None:
        """Become the owner of an answer, or return None; with the same nonce, of the same one."""
        nonce = nonce or secrets.token_hex(16)
        header = {
            "nonce": nonce, "worker": worker, "lease_ms": self._lease_ms,
            "max_attempts": MAX_ATTEMPTS, "exports": self._exports or None,
        }  # fmt: skip
        answer, *rest = self._scripts.call("answer_claim", header)
        if answer == b"none":
            return None
        member, attempt, parent, _tick, threads, request, checkpoint = rest
        tenant, answer_id = keys.split_member(member.decode())
        return AnswerClaim(
            tenant, answer_id, nonce, int(attempt), parent.decode(), int(threads),
            json.loads(request), parse_checkpoint(checkpoint),
        )  # fmt: skip

    def renew(self, claim: AnswerClaim) -> str | None:
        """Renew a lease; return what is requested of the answer. Raises LeaseLost."""
        header = {"member": claim.member, "nonce": claim.nonce, "lease_ms": self._lease_ms}
        return self._call(claim, "answer_renew", header) or None

    def succeed(self, claim: AnswerClaim, result: Mapping[str, Any]) -> None:
        """End an answer with its result. Raises LeaseLost."""
        self._finish(claim, "succeeded", json.dumps(result, allow_nan=False), field="result")

    def fail(self, claim: AnswerClaim, kind: str, detail: str) -> None:
        """End an answer with an error. Raises LeaseLost."""
        error = {"type": kind, "detail": detail[:MAX_REASON_CHARS]}
        self._finish(claim, "failed", json.dumps(error), field="error")

    def end_cancelled(self, claim: AnswerClaim) -> None:
        """End an answer as cancelled. Raises LeaseLost."""
        self._finish(claim, "cancelled")

    def give_back(self, claim: AnswerClaim, reason: str) -> Status:
        """Put an answer back for another attempt, unless it has had enough; return its status.

        Raises LeaseLost.
        """
        return self._finish(claim, "queued", reason=reason[:MAX_REASON_CHARS])

    def _finish(
        self,
        claim: AnswerClaim,
        status: Literal["queued", "succeeded", "failed", "cancelled"],
        text: str | None = None,
        **fields: str,
    ) -> Status:
        header = {"status": status, "max_attempts": MAX_ATTEMPTS, **fields}
        header |= {"member": claim.member, "nonce": claim.nonce}
        texts = () if text is None else (text,)
        return self._call(claim, "answer_finish", header, *texts)  # type: ignore[return-value]

    def _call(self, claim: AnswerClaim, name: str, header: dict[str, Any], *texts: str) -> str:
        answer, *rest = self._scripts.call(name, header, *texts)
        if answer == b"fenced":
            raise LeaseLost(f"{claim.answer_id} is {rest[0].decode()}")
        return rest[0].decode()
