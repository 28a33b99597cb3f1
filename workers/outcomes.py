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
from jobs.trainer_frames import PeerGone
from workers.exit_status import describe_exit
from workers.forkserver_client import ForkServerUnavailable
from workers.heartbeat import KillReason
from workers.store_retry import StoreUnavailable
from workers.trainer_client import TrainerError

#: what a trainer may run into on one machine and not on another, or not a moment later
TRANSIENT_MARKERS = (
    "memoryerror", "out of memory", "outofmemory", "can't allocate", "bad_alloc", "no space left",
)  # fmt: skip
#: the trainer's word for an engine that this machine turns out not to have: another may
MISSING_ENGINE = "MissingEngine"
MAX_DETAIL_CHARS = 2_000  # characters of an error that are kept in the job's record


@dataclass(frozen=True)
class Outcome:
    """How an attempt leaves its job: what `ledger.finish` is told."""

    status: Status
    tick: int
    stopped_by: str | None = None
    error: dict[str, Any] | None = None
    reason: str | None = None
    result: Certificate | None = None  # of a verify
    is_complete: bool = False  # a verify that compared all it was asked to
    log_tail: str | None = None  # the end of the job's log, for who reads why it was given up


class ReplayMismatch(Exception):
    """What was computed again is not what was recorded; the job fails loudly with it."""

    def __init__(self, tick: int, detail: str) -> None:
        super().__init__(detail)
        self.tick = tick


class CheckpointDeleted(Exception):
    """A checkpoint was deleted by a client while it was loaded."""


def requeue_outcome(tick: int, reason: str) -> Outcome:
    """Return the job to its queue, where any worker may go on with it."""
    return Outcome("queued", tick, reason=reason[:MAX_DETAIL_CHARS])


def stop_outcome(reason: str, tick: int) -> Outcome:
    """Leave a job before its end, as it was asked to: drain, cancel or pause."""
    if reason == "drain":
        return requeue_outcome(tick, "drain")
    return Outcome("cancelled" if reason == "cancel" else "paused", tick)


def failure_outcome(tick: int, kind: str, detail: str, error_tick: int | None = None) -> Outcome:
    """End the job; `at` is the tick that the error belongs to."""
    error = {"type": kind, "detail": detail[:MAX_DETAIL_CHARS], "tick": error_tick}
    return Outcome("failed", tick, error=error)


def disk_pause_outcome(tick: int, detail: str) -> Outcome:
    """Pause a job that the disk has no room for: its last good checkpoint still counts."""
    detail += "; resume when there is room for it"
    return Outcome("paused", tick, error={"type": "checkpoint", "detail": detail, "tick": tick})


def divergence_outcome(
    error: TickMismatch | ReplayMismatch,
    tick: int,
    recorded: Mapping[str, Any],
    computed: Mapping[str, Any],
) -> Outcome:
    """Fail a job whose recorded bits did not come again, with the fingerprints of both."""
    fingerprints = f"recorded on {json.dumps(recorded)}, run again on {json.dumps(computed)}"
    return failure_outcome(tick, "diverged", f"{error}; {fingerprints}", error.tick)


def outcome_of_error(
    error: Exception,
    kill_reason: KillReason | None,
    tick: int,
    exit_description: str = describe_exit(None),
) -> Outcome | None:
    """Return what an attempt that broke off at `tick` means; None: the job is not ours to touch.

    `verdict` is the heartbeat's: why it killed the trainer, if it did; `ended` says how the trainer
    ended otherwise.
    """
    match error:
        case LeaseLost() | StoreUnavailable():
            return None  # another's by now, or its lease runs out: whoever claims it goes on
        case PeerGone():
            return _outcome_of_lost_trainer(kill_reason, tick, exit_description)
        case TrainerError():
            return _outcome_of_trainer_error(error, tick)
        case TickMismatch() | ReplayMismatch():
            return failure_outcome(tick, "diverged", str(error), error.tick)
        case TickGap() | NotAccepted():
            return requeue_outcome(tick, f"the store lost ticks, they are run again: {error}")
        case CheckpointDeleted() | ForkServerUnavailable():
            return requeue_outcome(tick, str(error))
        case FingerprintMismatch():
            return requeue_outcome(tick, "this worker's fingerprint is not the history's")
    # a fault of ours or of this machine: five of them without a new tick end the job
    return requeue_outcome(tick, f"the worker failed: {error!r}")


def _outcome_of_lost_trainer(
    kill_reason: KillReason | None, tick: int, exit_description: str
) -> Outcome | None:
    match kill_reason:
        case "fenced":
            return None
        case "cancelled":
            return Outcome("cancelled", tick)
        case "drained":
            return requeue_outcome(tick, "drain")
        case "stalled":
            return requeue_outcome(tick, "the trainer stood still and was killed")
    return requeue_outcome(tick, exit_description)


def _outcome_of_trainer_error(error: TrainerError, tick: int) -> Outcome:
    message = f"{error.kind}: {error.detail}"
    if error.kind == MISSING_ENGINE:
        return requeue_outcome(tick, error.detail)
    if any(marker in message.lower() for marker in TRANSIENT_MARKERS):
        return requeue_outcome(tick, message)
    return failure_outcome(tick, "trainer", message)
