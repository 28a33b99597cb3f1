"""Claims jobs, and makes the changes that need a lease: ticks, checkpoints, the finish.

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
from jobs.job import Checkpoint, JobResult, Lease
from jobs.ledger.checkpoint_set import CheckpointSet, parse_checkpoint_set
from jobs.ledger.claims import Claim, QuestionProgress, parse_claim
from jobs.spec.conditions import MetCondition
from jobs.store.codec import encode_checkpoint, encode_identity
from jobs.store.connection import Store
from jobs.store.keys import job_member
from jobs.store.scripts import Scripts
from jobs.values import finite_or_none

#: attempts in a row without a new tick after which a job fails
MAX_ATTEMPTS_WITHOUT_PROGRESS = 5
MAX_LOG_MESSAGE_CHARS = 1_000


@dataclass(frozen=True)
class AppendResult:
    """The accepted tick after an append, and what clients request of the job.

    `segment_in_files`: the ticks' segment is in files, so the caller must compare with those.
    Ticks up to `uncompared_upto` have another fingerprint and are not compared.
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
        """Become the owner of the first job that this worker may train, or return None.

        `canaries` are this machine's by thread count (as text), `memory` is in bytes, `engines` has
        the first two words of each engine's identity by name; None of `memory` or `engines`: not
        checked.
        Sent again with the same nonce, a claim repeats its result. Raises MissingCanary.
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
        """Record what trains the job, before its first tick of this attempt.

        `is_portable`: from a checkpoint on, machines of any canary give equal bits with this
        engine. Raises LeaseLost, or FingerprintMismatch where recorded ticks need another one.
        """
        fields = {
            "engine": engine,
            "device": device,
            "fingerprint": json.dumps(fingerprint),
            "identity": encode_identity(fingerprint, is_portable=is_portable),
            "canary": fingerprint["canary"],
        }
        if self._call_with_lease("record_engine", lease, fields)[0] == b"unfit":
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
        met: Sequence[MetCondition] = (),
        **progress: str | None,
    ) -> AppendResult:
        """Offer `count` ticks of one segment, and sparse points; recorded ticks are compared.

        `columns` has float32 values by name, `rows` complete summary rows from row `row_at` of the
        segment on, `sparse` 16-byte points; jobs/recording/writer.py makes them. `met` are
        conditions that these ticks meet: each is told once a job. `progress` is what the job shows
        from now on: phase, metrics, best, elapsed; and `skipped` where the last tick's update was
        not applied. Raises LeaseLost, TickGap, or TickMismatch where a recorded tick has other
        bits.
        """
        fields = {
            "first": first,
            "count": count,
            "columns": list(columns),
            "rows": list(rows),
            "row_at": row_at,
            "sparse": list(sparse),
            "met": [(condition.text, condition.tick, _met_json(condition)) for condition in met],
            **progress,
        }
        arrays = (*columns.values(), *rows.values(), *sparse.values())
        answer, *rest = self._call_with_lease("append", lease, fields, *arrays)
        if answer == b"gap":
            raise TickGap(int(rest[0]))
        if answer == b"diverged":
            tick, column, *both = (text.decode() for text in rest)
            raise TickMismatch(int(tick), column, *map(bytes.fromhex, both))
        return AppendResult(
            int(rest[0]), rest[1].decode() or None, rest[2] == b"1", rest[3] == b"1", int(rest[4])
        )

    def renew(
        self, lease: Lease, *, phase: str | None = None, progress: QuestionProgress | None = None
    ) -> str | None:
        """Renew the lease; return what clients request, or None. Raises LeaseLost."""
        fields = {"phase": phase, **(progress.to_fields() if progress else {})}
        return self._call_with_lease("renew", lease, fields)[1].decode() or None

    def record_verify_progress(
        self, lease: Lease, tick: int, loss: bytes, elapsed: float, compared: int, digests: int
    ) -> str | None:
        """Record that a verify has compared up to `tick`; return what clients request, or None.

        `compared` and `digests` are the attempt's totals. Raises LeaseLost.
        """
        fields = {"tick": tick, "elapsed": repr(elapsed), "compared": compared, "digests": digests}
        answer = self._call_with_lease("record_verify_progress", lease, fields, loss)
        return answer[1].decode() or None

    def add_log_event(
        self,
        lease: Lease,
        level: Literal["info", "warning", "error"],
        message: str,
        *,
        checkpoint_refusal: str | None = None,
        number: int | None = None,
    ) -> None:
        """Add a `log` event of at most MAX_LOG_MESSAGE_CHARS; after 200 a job, none is added.

        `checkpoint_refusal` withdraws a requested checkpoint and says why. A `number`, which grows
        with each event of an attempt, makes it safe to send twice. Raises LeaseLost.
        """
        fields: dict[str, Any] = {"level": level, "message": message[:MAX_LOG_MESSAGE_CHARS]}
        fields |= {"checkpoint_refusal": checkpoint_refusal, "number": number}
        self._call_with_lease("add_log_event", lease, fields)

    def read_checkpoints(self, lease: Lease) -> CheckpointSet:
        """Read the committed checkpoints and what clients request of them. Raises LeaseLost."""
        return parse_checkpoint_set(self._call_with_lease("read_checkpoints", lease, {})[1:])

    def commit_checkpoint(
        self,
        lease: Lease,
        checkpoint: Checkpoint,
        drop: Sequence[int] = (),
        held: Sequence[int] = (),
        *,
        change_count: int | None = None,
        fulfils_request: bool = False,
    ) -> None:
        """Commit a durable checkpoint, and remove the records of those at the ticks of `drop`.

        `held`: ticks that questions alone keep. `fulfils_request`: a client requested it. Raises
        LeaseLost, NotAccepted for a tick beyond the accepted one, or ConcurrentChange where
        `change_count`, as CheckpointSet has it, is old or a question holds one of `drop`.
        """
        fields = {
            "tick": checkpoint.tick,
            "is_best": checkpoint.is_best,
            "is_final": checkpoint.is_final,
            "drop": list(drop),
            "held": list(held),
            "change_count": change_count,
            "fulfils_request": fulfils_request,
        }
        encoded = encode_checkpoint(checkpoint)
        answer = self._call_with_lease("commit_checkpoint", lease, fields, encoded)
        if answer[0] == b"changed":
            raise ConcurrentChange(f"{lease.job_id}: the checkpoints")
        if answer[0] == b"early":
            raise NotAccepted(f"tick {checkpoint.tick}; the accepted tick is {int(answer[1])}")

    def finish(
        self,
        lease: Lease,
        status: str,
        tick: int,
        *,
        stopped_by: str | None = None,
        error: Mapping[str, Any] | None = None,
        reason: str | None = None,
        result: JobResult | None = None,
        file_bytes: int | None = None,
        is_complete: bool = False,
        tail: str | None = None,
        elapsed: float | None = None,
    ) -> str:
        """End the lease and leave the job in `status`; return the status that it then has.

        `queued` gives it back with a `reason`; `tail`, the end of its log, is quoted if that fails
        it for good. A request of a client that came meanwhile may change the status. A verify ends
        with its `result`, `is_complete` when that is of its whole range; a predict or evaluate also
        with the `file_bytes` that it leaves, and the seconds that it took. Raises LeaseLost, or
        WrongFinalTick where a job cannot have succeeded at `tick`.
        """
        fields = {
            "status": status,
            "tick": tick,
            "stopped_by": stopped_by,
            "error": None if error is None else json.dumps(error),
            "diverged": _has_mismatch(error, result) or None,
            "reason": reason,
            "result": None if result is None else result.model_dump_json(by_alias=True),
            "file_bytes": file_bytes,
            "is_complete": is_complete or None,
            "tail": tail,
            "elapsed": None if elapsed is None else repr(elapsed),
        }
        answer, detail = self._call_with_lease("finish", lease, fields)[:2]
        if answer == b"short":
            raise WrongFinalTick(int(detail))
        return detail.decode()

    def _call_with_lease(
        self, name: str, lease: Lease, fields: dict[str, Any], *byte_arguments: bytes | str
    ) -> list[bytes]:
        member = job_member(lease.tenant, lease.job_id)
        header = {"member": member, "term": lease.term, "nonce": lease.nonce, **fields}
        header["lease_ms"] = self._lease_ms
        answer = self._scripts.call(name, header, *byte_arguments)
        if answer[0] == b"fenced":
            raise LeaseLost(f"{member}: the lease is over ({answer[1].decode()})")
        return answer


def _met_json(condition: MetCondition) -> str:
    """Return the data of a condition's event: as text, since Lua would round the numbers."""
    value = finite_or_none(condition.value)
    return json.dumps({"condition": condition.text, "tick": condition.tick, "value": value})


def _has_mismatch(error: Mapping[str, Any] | None, result: JobResult | None) -> bool:
    differs = isinstance(result, Certificate) and result.verdict == "different"
    return differs or (error or {}).get("type") == "diverged"
