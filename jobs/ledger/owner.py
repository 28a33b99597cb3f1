"""What a lease opens: claim a job, append its ticks, commit its checkpoints, release it.

Each method runs one script, which checks the lease; sent twice, it changes no more than once. All
times are the server's. Knows no file and no HTTP.
"""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from jobs.certificate import Certificate
from jobs.errors import (
    ConcurrentChange,
    FingerprintMismatch,
    LeaseLost,
    MissingCanary,
    NotAccepted,
    TickGap,
    TickMismatch,
    WrongFinalTick,
)
from jobs.job import Checkpoint, Lease
from jobs.ledger.checkpoint_set import CheckpointSet, parse_checkpoint_set
from jobs.ledger.claims import Claim, parse_claim
from jobs.store.codec import encode_checkpoint, encode_identity
from jobs.store.connection import Store
from jobs.store.keys import job_member
from jobs.store.scripts import Scripts

#: attempts without a new tick after which a job is given up
MAX_ATTEMPTS_WITHOUT_PROGRESS = 5
MAX_LOG_MESSAGE_CHARS = 1_000  # characters of a `log` event


@dataclass(frozen=True)
class AppendResult:
    """What an append was told: the accepted tick, what is requested, whether its part has moved.

    `wanted`: a checkpoint is asked for, beside what is requested. `trusted`: ticks up to it are of
    another fingerprint and are not compared.
    """

    tick: int
    requested: str | None
    segment_in_files: bool = False
    checkpoint_requested: bool = False
    uncompared_upto: int = -1


class LeaseLedger:
    """Claims jobs and changes those that are claimed; a lease lasts `lease_seconds`."""

    def __init__(self, store: Store, lease_seconds: float) -> None:
        self._scripts = Scripts(store)
        self._lease_ms = int(lease_seconds * 1000)

    def claim(
        self,
        queue: str,
        *,
        worker: str,
        device: str,
        canaries: Mapping[str, str],
        nonce: str | None = None,
        memory: int | None = None,
        engines: Mapping[str, str] | None = None,
    ) -> Claim | None:
        """Become the owner of the best job this worker is fit for; None when there is none.

        `canaries` are this machine's by thread count (as text), `memory` the bytes that a trainer
        may use, `engines` how the identities of its engines begin, by name (None: not told). Sent
        again with the same nonce, a claim repeats its answer. Raises MissingCanary.
        """
        nonce = nonce or secrets.token_hex(16)
        header = {
            "queue": queue,
            "worker": worker,
            "device": device,
            "canaries": dict(canaries),
            "nonce": nonce,
            "lease_ms": self._lease_ms,
            "max_attempts_without_progress": MAX_ATTEMPTS_WITHOUT_PROGRESS,
            "memory": memory,
            "engines": None if engines is None else dict(engines),
        }
        answer, *rest = self._scripts.call("claim", header)
        if answer == b"canary":
            raise MissingCanary(int(rest[0]))
        return None if answer == b"none" else parse_claim(rest, nonce)

    def record_engine(
        self,
        lease: Lease,
        engine: str,
        device: str,
        fingerprint: Mapping[str, Any],
        *,
        is_portable: bool = False,
    ) -> None:
        """Say what trains, before the first tick. Raises LeaseLost, or Unfit for recorded bits.

        `portable`: from a checkpoint on, a machine of any canary gives the bits of this engine.
        """
        header = {
            **self._lease_fields(lease),
            "engine": engine,
            "device": device,
            "fingerprint": json.dumps(fingerprint),
            "identity": encode_identity(fingerprint, is_portable=is_portable),
            "canary": fingerprint["canary"],
        }
        if self._call_with_lease("record_engine", header)[0] == b"unfit":
            raise FingerprintMismatch(f"{lease.job_id} was begun on another fingerprint")

    def append_ticks(
        self,
        lease: Lease,
        first: int,
        count: int,
        columns: Mapping[str, bytes],
        rows: Mapping[str, bytes],
        row_at: int,
        sparse: Mapping[str, bytes],
        **progress: str | None,
    ) -> AppendResult:
        """Offer `count` ticks of one segment (jobs/recording/writer.py cuts them).

        Raises LeaseLost, TickGap, or TickMismatch where a recorded tick has other bits.
        """
        header = {
            **self._lease_fields(lease),
            "first": first,
            "count": count,
            "columns": list(columns),
            "rows": list(rows),
            "row_at": row_at,
            "sparse": list(sparse),
            **progress,
        }
        blobs = (*columns.values(), *rows.values(), *sparse.values())
        answer, *rest = self._call_with_lease("append", header, *blobs)
        if answer == b"gap":
            raise TickGap(int(rest[0]))
        if answer == b"diverged":
            tick, column, recorded, offered = (text.decode() for text in rest)
            raise TickMismatch(int(tick), column, recorded, offered)
        return AppendResult(
            int(rest[0]), rest[1].decode() or None, rest[2] == b"1", rest[3] == b"1", int(rest[4])
        )

    def renew(self, lease: Lease, *, phase: str | None = None) -> str | None:
        """Prolong the lease and learn what is requested. Raises LeaseLost."""
        answer = self._call_with_lease("renew", {**self._lease_fields(lease), "phase": phase})
        return answer[1].decode() or None

    def record_verify_progress(
        self, lease: Lease, tick: int, loss: bytes, elapsed: float, compared: int, digests: int
    ) -> str | None:
        """Say how far a verify is, and how many ticks and digests its attempt has compared.

        Gives what is requested. Raises LeaseLost.
        """
        fields = {"tick": tick, "elapsed": repr(elapsed), "compared": compared, "digests": digests}
        return (
            self._call_with_lease(
                "record_verify_progress", {**self._lease_fields(lease), **fields}, loss
            )[1].decode()
            or None
        )

    def add_log_event(
        self,
        lease: Lease,
        level: Literal["info", "warning", "error"],
        message: str,
        *,
        checkpoint_refusal: str | None = None,
        number: int | None = None,
    ) -> None:
        """Tell a job's followers a line of its log; bounded, the rest stays in the log. Fenced.

        `unwanted`: why a checkpoint that is asked for will not be made. `number` grows with each
        line of an attempt: one that has it is told once, however often it is sent.
        """
        fields: dict[str, Any] = {"level": level, "message": message[:MAX_LOG_MESSAGE_CHARS]}
        fields |= {"checkpoint_refusal": checkpoint_refusal, "number": number}
        self._call_with_lease("add_log_event", {**self._lease_fields(lease), **fields})

    def read_checkpoints(self, lease: Lease) -> CheckpointSet:
        """Read what counts of a job's checkpoints now, and what is asked for. Raises LeaseLost."""
        return parse_checkpoint_set(
            self._call_with_lease("read_checkpoints", self._lease_fields(lease))[1:]
        )

    def commit_checkpoint(
        self,
        lease: Lease,
        checkpoint: Checkpoint,
        drop: Sequence[int] = (),
        *,
        change_count: int | None = None,
        fulfils_request: bool = False,
    ) -> None:
        """Let a durable checkpoint count, and those of the ticks in `drop` no longer.

        `changes` is what Kept told: Changed is raised where that is no longer so. `serves`: it is
        the one that a client asked for. Raises LeaseLost, or NotAccepted for a tick that is not accepted.
        """
        header = {
            **self._lease_fields(lease),
            "tick": checkpoint.tick,
            "bytes": checkpoint.bytes,
            "is_best": checkpoint.is_best,
            "is_final": checkpoint.is_final,
            "drop": list(drop),
            "change_count": change_count,
            "fulfils_request": fulfils_request,
        }
        answer = self._call_with_lease("commit_checkpoint", header, encode_checkpoint(checkpoint))
        if answer[0] == b"changed":
            raise ConcurrentChange(f"{lease.job_id}: the checkpoints")
        if answer[0] == b"early":
            raise NotAccepted(f"tick {checkpoint.tick}; the accepted tick is {int(answer[1])}")

    def release(
        self,
        lease: Lease,
        status: str,
        tick: int,
        *,
        stopped_by: str | None = None,
        error: Mapping[str, Any] | None = None,
        reason: str | None = None,
        result: Certificate | None = None,
        is_complete: bool = False,
        tail: str | None = None,
    ) -> str:
        """Let go of a job; gives the status it then has. `queued` gives it back, and says why.

        `tail`, the end of its log, is quoted where giving it back was once too often.

        A verify ends with its `result`; `whole`: of all the ticks that it was asked to compare.
        Raises LeaseLost, or WrongFinalTick when it cannot have succeeded at this tick.
        """
        header = {
            **self._lease_fields(lease),
            "status": status,
            "tick": tick,
            "stopped_by": stopped_by,
            "error": None if error is None else json.dumps(error),
            "diverged": _has_mismatch(error, result) or None,
            "reason": reason,
            "result": None if result is None else result.model_dump_json(by_alias=True),
            "is_complete": is_complete or None,
            "tail": tail,
        }
        answer, detail = self._call_with_lease("finish", header)[:2]
        if answer == b"short":
            raise WrongFinalTick(int(detail))
        return detail.decode()

    def _lease_fields(self, lease: Lease) -> dict[str, Any]:
        return {
            "member": job_member(lease.tenant, lease.job_id),
            "term": lease.term,
            "nonce": lease.nonce,
            "lease_ms": self._lease_ms,
        }

    def _call_with_lease(
        self, name: str, header: dict[str, Any], *blobs: bytes | str
    ) -> list[bytes]:
        answer = self._scripts.call(name, header, *blobs)
        if answer[0] == b"fenced":
            raise LeaseLost(f"{header['member']}: the lease is over ({answer[1].decode()})")
        return answer


def _has_mismatch(error: Mapping[str, Any] | None, result: Certificate | None) -> bool:
    differs = result is not None and result.verdict == "different"
    return differs or (error or {}).get("type") == "diverged"
