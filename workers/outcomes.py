"""How an attempt leaves its job: the outcomes, and what each way of breaking off means.

Knows the errors of ledger, trainer and template; knows no process and no store.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jobs.certificate import Certificate
from jobs.errors import FingerprintMismatch, LeaseLost, NotAccepted, TickGap, TickMismatch
from jobs.job import Status
from jobs.leash import PeerGone
from workers.endings import in_words
from workers.heartbeat import Verdict
from workers.patience import StoreAway
from workers.template import NoTemplate
from workers.trainer import TrainerFault

#: what a trainer may run into on one machine and not on another, or not a moment later
PASSING = (
    "memoryerror", "out of memory", "outofmemory", "can't allocate", "bad_alloc", "no space left",
)  # fmt: skip
#: the trainer's word for an engine that this machine turns out not to have: another may
MISSING = "MissingEngine"
LONGEST_DETAIL = 2_000  # characters of an error that are kept in the job's record


@dataclass(frozen=True)
class Outcome:
    """How an attempt leaves its job: what `ledger.finish` is told."""

    status: Status
    tick: int
    stopped_by: str | None = None
    error: dict[str, Any] | None = None
    reason: str | None = None
    result: Certificate | None = None  # of a verify
    whole: bool = False  # a verify that compared all it was asked to
    tail: str | None = None  # the end of the job's log, for who reads why it was given up


class Unequal(Exception):
    """What was computed again is not what was recorded; the job fails loudly with it."""

    def __init__(self, tick: int, detail: str) -> None:
        super().__init__(detail)
        self.tick = tick


class Withdrawn(Exception):
    """A checkpoint was deleted by a client while it was loaded."""


def given_back(tick: int, reason: str) -> Outcome:
    """Return the job to its queue, where any worker may go on with it."""
    return Outcome("queued", tick, reason=reason[:LONGEST_DETAIL])


def left(why: str, tick: int) -> Outcome:
    """Leave a job before its end, as it was asked to: drain, cancel or pause."""
    if why == "drain":
        return given_back(tick, "drain")
    return Outcome("cancelled" if why == "cancel" else "paused", tick)


def failed(tick: int, kind: str, detail: str, at: int | None = None) -> Outcome:
    """End the job; `at` is the tick that the error belongs to."""
    error = {"type": kind, "detail": detail[:LONGEST_DETAIL], "tick": at}
    return Outcome("failed", tick, error=error)


def unsaved(tick: int, detail: str) -> Outcome:
    """Pause a job that the disk has no room for: its last good checkpoint still counts."""
    detail += "; resume when there is room for it"
    return Outcome("paused", tick, error={"type": "checkpoint", "detail": detail, "tick": tick})


def diverged(
    error: TickMismatch | Unequal, tick: int, recorded: Mapping[str, Any], run: Mapping[str, Any]
) -> Outcome:
    """Fail a job whose recorded bits did not come again, with the fingerprints of both."""
    both = f"recorded on {json.dumps(recorded)}, run again on {json.dumps(run)}"
    return failed(tick, "diverged", f"{error}; {both}", error.tick)


def of(
    error: Exception, verdict: Verdict | None, tick: int, ended: str = in_words(None)
) -> Outcome | None:
    """Return what an attempt that broke off at `tick` means; None: the job is not ours to touch.

    `verdict` is the heartbeat's: why it killed the trainer, if it did; `ended` says how the trainer
    ended otherwise.
    """
    match error:
        case LeaseLost() | StoreAway():
            return None  # another's by now, or its lease runs out: whoever claims it goes on
        case PeerGone():
            return _cut(verdict, tick, ended)
        case TrainerFault():
            return _fault(error, tick)
        case TickMismatch() | Unequal():
            return failed(tick, "diverged", str(error), error.tick)
        case TickGap() | NotAccepted():
            return given_back(tick, f"the store lost ticks, they are run again: {error}")
        case Withdrawn() | NoTemplate():
            return given_back(tick, str(error))
        case FingerprintMismatch():
            return given_back(tick, "this worker's fingerprint is not the history's")
    # a fault of ours or of this machine: five of them without a new tick end the job
    return given_back(tick, f"the worker failed: {error!r}")


def _cut(verdict: Verdict | None, tick: int, ended: str) -> Outcome | None:
    match verdict:
        case "fenced":
            return None
        case "cancelled":
            return Outcome("cancelled", tick)
        case "drained":
            return given_back(tick, "drain")
        case "stalled":
            return given_back(tick, "the trainer stood still and was killed")
    return given_back(tick, ended)


def _fault(fault: TrainerFault, tick: int) -> Outcome:
    said = f"{fault.kind}: {fault.detail}"
    if fault.kind == MISSING:
        return given_back(tick, fault.detail)
    if any(sign in said.lower() for sign in PASSING):
        return given_back(tick, said)
    return failed(tick, "trainer", said)
