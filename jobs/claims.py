"""What whoever claims a job is told: whose it is, where it stands, what its bits belong to."""

import json
from dataclasses import dataclass, field
from typing import Any

from jobs.job import Checkpoint, Lease
from jobs.keys import split
from jobs.record import read_checkpoint, read_spec
from jobs.spec.job_spec import JobSpec

#: a job's identity: what must be equal for bits to be comparable
IDENTITY = ("engine", "torch", "canary", "device", "threads")
ANY_CANARY = "-"  # in its place, where bits do not depend on it


@dataclass(frozen=True)
class Verifies:
    """What a verify runs again: the ticks of job `parent` after `start` up to `end`."""

    parent: str
    start: int
    end: int


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
    fingerprint: dict[str, Any] = field(default_factory=dict)  # of the bits there are
    verifies: Verifies | None = None  # a verify: it runs these ticks again
    engine: str | None = None  # that must train it: the one that its ticks are of
    canary: str | None = None  # of the machine that drew its first weights


def read_claim(reply: list[bytes], nonce: str) -> Claim:
    """Read what claim.lua answers."""
    name, term, tick, elapsed, attempt, requested, exact, spec, *rest = reply
    kind, parent, origin, end, fingerprint, engine, canary, *kept = rest
    tenant, job_id = split(name.decode())
    verifies = Verifies(parent.decode(), int(origin), int(end)) if kind == b"verify" else None
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
        fingerprint=json.loads(fingerprint or b"{}"),
        engine=engine.decode() or None,
        canary=canary.decode() or None,
        verifies=verifies,
    )
