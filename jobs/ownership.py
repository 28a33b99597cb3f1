"""What a job's owner says: claim, describe, append, renew, note, commit, finish; all by its lease.

The lease is checked inside each script. Sent twice, each does no more than once. Knows no file.
"""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import redis

from jobs.errors import Diverged, Early, Fenced, Gap, NeedsCanary, Short, Unfit
from jobs.job import Checkpoint, Lease
from jobs.keys import member, split
from jobs.record import read_checkpoint, read_spec, write_checkpoint
from jobs.scripts import Scripts
from jobs.spec.job_spec import JobSpec

#: attempts without a new tick after which a job is given up
MOST_DEATHS = 5
LONGEST_NOTE = 1_000  # characters of a `log` event
#: a job's identity: what must be equal for bits to be comparable
IDENTITY = ("engine", "torch", "canary", "device", "threads")


@dataclass(frozen=True)
class Claim:
    """A job that is ours until its lease ends, and where it stands. Newest checkpoint first."""

    lease: Lease
    tick: int
    elapsed: float
    attempt: int
    requested: str | None
    exact: bool
    spec: JobSpec
    checkpoints: list[Checkpoint]


@dataclass(frozen=True)
class Appended:
    """What an append was told: the accepted tick, what is requested, whether its part has moved."""

    tick: int
    requested: str | None
    moved: bool = False


class Ownership:
    """The half of the ledger that a lease opens."""

    def __init__(self, store: "redis.Redis", lease_seconds: float) -> None:
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
    ) -> Claim | None:
        """Become the owner of the best job this worker is fit for; None when there is none.

        `canaries` are this machine's by thread count (as text). Sent again with the same nonce, a
        claim repeats its answer. Raises NeedsCanary.
        """
        nonce = nonce or secrets.token_hex(16)
        header = {
            "queue": queue,
            "worker": worker,
            "device": device,
            "canaries": dict(canaries),
            "nonce": nonce,
            "lease_ms": self._lease_ms,
            "most_deaths": MOST_DEATHS,
        }
        answer, *rest = self._scripts.call("claim", header)
        if answer == b"canary":
            raise NeedsCanary(int(rest[0]))
        return None if answer == b"none" else _claim(rest, nonce)

    def describe(
        self, lease: Lease, engine: str, device: str, fingerprint: Mapping[str, Any]
    ) -> None:
        """Say what trains, before the first tick. Raises Fenced, or Unfit for recorded bits."""
        header = {
            **self._shown(lease),
            "engine": engine,
            "device": device,
            "fingerprint": json.dumps(fingerprint),
            "identity": " ".join(str(fingerprint[part]) for part in IDENTITY),
            "canary": fingerprint["canary"],
        }
        if self._held("describe", header)[0] == b"unfit":
            raise Unfit(f"{lease.job_id} was begun on another fingerprint")

    def append(
        self,
        lease: Lease,
        first: int,
        count: int,
        columns: Mapping[str, bytes],
        rows: Mapping[str, bytes],
        row_at: int,
        sparse: Mapping[str, bytes],
        **progress: str | None,
    ) -> Appended:
        """Offer `count` ticks of one segment (jobs/recorder.py cuts them).

        Raises Fenced, Gap, or Diverged where a recorded tick has other bits.
        """
        header = {
            **self._shown(lease),
            "first": first,
            "count": count,
            "columns": list(columns),
            "rows": list(rows),
            "row_at": row_at,
            "sparse": list(sparse),
            **progress,
        }
        blobs = (*columns.values(), *rows.values(), *sparse.values())
        answer, *rest = self._held("append", header, *blobs)
        if answer == b"gap":
            raise Gap(int(rest[0]))
        if answer == b"diverged":
            tick, column, recorded, offered = (text.decode() for text in rest)
            raise Diverged(int(tick), column, recorded, offered)
        return Appended(int(rest[0]), rest[1].decode() or None, rest[2] == b"1")

    def renew(self, lease: Lease, *, phase: str | None = None) -> str | None:
        """Prolong the lease and learn what is requested. Raises Fenced."""
        answer = self._held("renew", {**self._shown(lease), "phase": phase})
        return answer[1].decode() or None

    def note(self, lease: Lease, level: Literal["info", "warning", "error"], message: str) -> None:
        """Tell a job's followers a line of its log; bounded, the rest stays in the log. Fenced."""
        self._held(
            "note", {**self._shown(lease), "level": level, "message": message[:LONGEST_NOTE]}
        )

    def commit_checkpoint(
        self, lease: Lease, checkpoint: Checkpoint, drop: Sequence[int] = ()
    ) -> None:
        """Let a durable checkpoint count, and those of the ticks in `drop` no longer.

        Raises Fenced, or Early for a tick that is not accepted.
        """
        header = {
            **self._shown(lease),
            "tick": checkpoint.tick,
            "bytes": checkpoint.bytes,
            "is_best": checkpoint.is_best,
            "is_final": checkpoint.is_final,
            "drop": list(drop),
        }
        answer = self._held("commit_checkpoint", header, write_checkpoint(checkpoint))
        if answer[0] == b"early":
            raise Early(f"tick {checkpoint.tick}; the accepted tick is {int(answer[1])}")

    def finish(
        self,
        lease: Lease,
        status: str,
        tick: int,
        *,
        stopped_by: str | None = None,
        error: Mapping[str, Any] | None = None,
        reason: str | None = None,
    ) -> str:
        """Let go of a job; gives the status it then has. `queued` gives it back, and says why.

        Raises Fenced, or Short when it cannot have succeeded at this tick.
        """
        header = {
            **self._shown(lease),
            "status": status,
            "tick": tick,
            "stopped_by": stopped_by,
            "error": None if error is None else json.dumps(error),
            "diverged": (error or {}).get("type") == "diverged" or None,
            "reason": reason,
        }
        answer, told = self._held("finish", header)[:2]
        if answer == b"short":
            raise Short(int(told))
        return told.decode()

    def _shown(self, lease: Lease) -> dict[str, Any]:
        return {
            "member": member(lease.tenant, lease.job_id),
            "term": lease.term,
            "nonce": lease.nonce,
            "lease_ms": self._lease_ms,
        }

    def _held(self, name: str, header: dict[str, Any], *blobs: bytes | str) -> list[bytes]:
        answer = self._scripts.call(name, header, *blobs)
        if answer[0] == b"fenced":
            raise Fenced(f"{header['member']}: the lease is over ({answer[1].decode()})")
        return answer


def _claim(reply: list[bytes], nonce: str) -> Claim:
    name, term, tick, elapsed, attempt, requested, exact, spec, *kept = reply
    tenant, job_id = split(name.decode())
    found = [read_checkpoint(text) for text in kept]
    return Claim(
        lease=Lease(tenant, job_id, int(term), nonce),
        tick=int(tick),
        elapsed=float(elapsed),
        attempt=int(attempt),
        requested=requested.decode() or None,
        exact=exact == b"1",
        spec=read_spec(spec),
        checkpoints=sorted(found, key=lambda checkpoint: -checkpoint.tick),
    )
