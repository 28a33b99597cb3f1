"""The outcomes of an attempt, and the outcome of each error that can end one.

Knows the errors of ledger, trainer and fork server; knows no process and no store.
"""

import json
from dataclasses import dataclass

from jobs.certificate import Certificate
from jobs.errors import FingerprintMismatch, LeaseLost, NotAccepted, TickGap, TickMismatch
from jobs.history.errors import DamagedHistory
from jobs.job import Status
from jobs.trainer_frames import PeerGone
from workers.exit_status import describe_exit
from workers.forkserver_client import ForkServerUnavailable
from workers.heartbeat import KillReason
from workers.store_retry import StoreUnavailable
from workers.trainer_client import JsonDict, TrainerError

#: parts of error messages that another machine, or a later attempt, may not meet
TRANSIENT_MARKERS = (
    "memoryerror", "out of memory", "outofmemory", "can't allocate", "bad_alloc", "no space left",
    "read-only file system", "input/output error", "permission denied", "stale file handle",
)  # fmt: skip
#: parts of messages of a GPU that failed
DEVICE_MARKERS = ("cuda error", "cudnn error")
#: the trainer's error for a device that torch cannot compute on
UNAVAILABLE_DEVICE = "DeviceUnavailable"
#: the trainer's error for an engine that this machine lacks and another may have
MISSING_ENGINE = "MissingEngine"
MAX_DETAIL_CHARS = 2_000  # of an error in the job's record


@dataclass(frozen=True)
class Outcome:
    """How an attempt leaves its job; the runner finishes the job with it."""

    status: Status
    tick: int
    stopped_by: str | None = None
    error: JsonDict | None = None
    reason: str | None = None
    result: Certificate | None = None  # of a verify
    is_complete: bool = False  # a verify that compared its whole range
    log_tail: str | None = None  # the end of the job's log, quoted if the job is given up


class ReplayMismatch(Exception):
    """A replay differs from what was recorded; the job fails with it."""

    def __init__(self, tick: int, detail: str) -> None:
        super().__init__(detail)
        self.tick = tick


class CheckpointDeleted(Exception):
    """A client deleted a checkpoint while it was being loaded."""


def requeue_outcome(tick: int, reason: str) -> Outcome:
    """Return the outcome that puts a job back into its queue, for any worker to continue."""
    return Outcome("queued", tick, reason=reason[:MAX_DETAIL_CHARS])


def interruption_outcome(reason: str, tick: int) -> Outcome:
    """Return the outcome of an interrupted training: by "drain", "cancel" or "pause"."""
    if reason == "drain":
        return requeue_outcome(tick, "drain")
    return Outcome("cancelled" if reason == "cancel" else "paused", tick)


def failure_outcome(tick: int, kind: str, detail: str, error_tick: int | None = None) -> Outcome:
    """Return the outcome that fails a job; `error_tick` is the tick that the error belongs to."""
    error = {"type": kind, "detail": detail[:MAX_DETAIL_CHARS], "tick": error_tick}
    return Outcome("failed", tick, error=error)


def disk_pause_outcome(tick: int, detail: str) -> Outcome:
    """Return the outcome that pauses a job on a full disk; its last checkpoint is untouched."""
    detail += "; resume when there is room for it"
    return Outcome("paused", tick, error={"type": "checkpoint", "detail": detail, "tick": tick})


def damage_pause_outcome(tick: int, detail: str) -> Outcome:
    """Return the outcome that pauses a job whose recorded ticks cannot be read back."""
    detail += "; put the file back and resume"
    return Outcome("paused", tick, error={"type": "damaged", "detail": detail, "tick": None})


def divergence_outcome(
    error: TickMismatch | ReplayMismatch, tick: int, recorded: JsonDict, computed: JsonDict
) -> Outcome:
    """Return the outcome that fails a job whose replay differs, with both fingerprints."""
    fingerprints = f"recorded on {json.dumps(recorded)}, run again on {json.dumps(computed)}"
    return failure_outcome(tick, "diverged", f"{error}; {fingerprints}", error.tick)


def outcome_of_error(
    error: Exception, kill_reason: KillReason | None, tick: int, ending: str = describe_exit(None)
) -> Outcome | None:
    """Return the outcome of an attempt that `error` ended at `tick`; None if the lease is lost.

    `kill_reason` says why the heartbeat killed the trainer, if it did; `ending` says how
    the trainer ended otherwise.
    """
    match error:
        case LeaseLost() | StoreUnavailable():
            return None  # another worker owns the job or will claim it
        case PeerGone():
            return _exit_outcome(kill_reason, tick, ending)
        case TrainerError():
            return _trainer_error_outcome(error, tick)
        case TickMismatch() | ReplayMismatch():
            return failure_outcome(tick, "diverged", str(error), error.tick)
        case TickGap() | NotAccepted():
            return requeue_outcome(tick, f"the store lost ticks, they are run again: {error}")
        case CheckpointDeleted() | ForkServerUnavailable():
            return requeue_outcome(tick, str(error))
        case DamagedHistory():
            return damage_pause_outcome(tick, str(error))
        case FingerprintMismatch():
            return requeue_outcome(tick, "this worker's fingerprint is not the history's")
    # an error of ours or of this machine: the ledger gives the job up after some of them
    return requeue_outcome(tick, f"the worker failed: {error!r}")


def is_device_fault(error: Exception) -> bool:
    """Return whether an error is the device's, so that it must be tried before another job."""
    if not isinstance(error, TrainerError):
        return False
    message = error.detail.lower()
    return error.kind == UNAVAILABLE_DEVICE or any(marker in message for marker in DEVICE_MARKERS)


def _exit_outcome(kill_reason: KillReason | None, tick: int, ending: str) -> Outcome | None:
    match kill_reason:
        case "fenced":
            return None
        case "cancelled":
            return Outcome("cancelled", tick)
        case "drained":
            return requeue_outcome(tick, "drain")
        case "stalled":
            return requeue_outcome(tick, "the trainer stood still and was killed")
    return requeue_outcome(tick, ending)


def _trainer_error_outcome(error: TrainerError, tick: int) -> Outcome:
    message = f"{error.kind}: {error.detail}"
    if error.kind == MISSING_ENGINE or is_device_fault(error):
        return requeue_outcome(tick, error.detail)
    if any(marker in message.lower() for marker in TRANSIENT_MARKERS):
        return requeue_outcome(tick, message)
    return failure_outcome(tick, "trainer", message)
