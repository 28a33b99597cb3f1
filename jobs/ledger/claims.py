"""A claimed job as its new owner sees it. Values only; knows no store."""

import json
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from jobs.job import Checkpoint, Lease
from jobs.spec.job_spec import JobSpec
from jobs.store.codec import parse_checkpoint, parse_spec
from jobs.store.keys import split_member


@dataclass(frozen=True)
class VerifyRange:
    """The ticks that a verify runs again: those of job `parent` after `start`, up to `end`."""

    parent: str
    start: int
    end: int


@dataclass(frozen=True)
class Question:
    """What a predict or evaluate asks the net of `parent`'s checkpoint at `tick`: `document`.

    `dataset`: the id and the path of the dataset's file. `name`: of the job. `result_bytes`: the
    most that its file can take.
    """

    kind: Literal["predict", "evaluate"]
    name: str
    parent: str
    tick: int
    dataset: tuple[str, str]
    document: dict[str, Any]
    result_bytes: int = 0


class QuestionProgress(NamedTuple):
    """Seconds that a predict or evaluate took so far, rows that are done, and of how many."""

    elapsed: float
    done: int
    total: int | None

    def to_fields(self) -> dict[str, Any]:
        """Return what the scripts of its owner take."""
        return {"elapsed": repr(self.elapsed), "rows_done": self.done, "rows_total": self.total}


@dataclass(frozen=True)
class Claim:
    """A job owned until its lease ends. `checkpoints` has the newest first."""

    lease: Lease
    tick: int
    elapsed: float
    attempt: int
    requested: str | None
    exact: bool
    spec: JobSpec
    checkpoints: list[Checkpoint]
    fingerprint: dict[str, Any] = field(default_factory=dict)  # of the recorded ticks
    verify_range: VerifyRange | None = None  # of a verify
    engine: str | None = None  # that must train it, if it has ticks
    canary: str | None = None  # of the machine that drew the first weights
    fork_tick: int | None = None  # of a fork: the tick whose state it begins with


def parse_claim(reply: list[bytes], nonce: str) -> Claim:
    """Parse the reply of lua/claim.lua."""
    member, term, tick, elapsed, attempt, requested, exact, spec, *rest = reply
    kind, parent, origin, end, fingerprint, engine, canary, *checkpoint_texts = rest
    tenant, job_id = split_member(member.decode())
    is_verify = kind == b"verify"
    return Claim(
        lease=Lease(tenant, job_id, int(term), nonce),
        tick=int(tick),
        elapsed=float(elapsed),
        attempt=int(attempt),
        requested=requested.decode() or None,
        exact=exact == b"1",
        spec=parse_spec(spec),
        checkpoints=sorted(map(parse_checkpoint, checkpoint_texts), key=lambda saved: -saved.tick),
        fingerprint=json.loads(fingerprint or b"{}"),
        engine=engine.decode() or None,
        canary=canary.decode() or None,
        fork_tick=int(origin) if parent and not is_verify else None,
        verify_range=VerifyRange(parent.decode(), int(origin), int(end)) if is_verify else None,
    )
