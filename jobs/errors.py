"""Errors of the store, the ledger and their callers, one class a reason. Knows no HTTP status.

JobsError
├── ClientError          what a client asked cannot be done; the API answers with a problem
│   ├── NotFound         NoSuchJob, NoSuchCheckpoint ─ CheckpointMoved, NoSuchDataset, NoSuchKey,
│   │                    NoSuchWebhook, NoSuchDelivery
│   ├── IllegalTransition, NotTerminal, JobSpared, NoResult
│   ├── LastCheckpoint, DatasetInUse, DatasetDeleted, WebhookDisabled
│   ├── IdempotencyMismatch, IdempotentResultDeleted, RequestInProgress
│   ├── QueueFull ─ CheckpointsHeld, QuotaExceeded, RateLimitExceeded
│   ├── NotExportable, NoExportWorker, ExportFailed
│   └── BadCursor
├── LeaseError           what the owner of a job may not do; clients never see one
│   ├── LeaseLost, ConcurrentChange
│   ├── TickGap, TickMismatch, NotAccepted, WrongFinalTick
│   └── FingerprintMismatch, MissingCanary
├── StoreFull, DiskUnavailable, NotArchived, UnsupportedSchema      of any call
└── InvalidSetting, UnsafeStore ─ StoreMismatch      at the start; an operator reads them
"""

from collections.abc import Sequence

from jobs import values


class JobsError(Exception):
    """Base of the errors below."""


# Any call may raise these.


class StoreFull(JobsError):
    """The store or the disk has no room; nothing was stored."""


class DiskUnavailable(JobsError):
    """The artifacts' disk refuses writes, though it is not full; nothing was stored."""


class NotArchived(JobsError):
    """A change is in effect, but the disk refused its archive record, which is owed now."""


class UnsupportedSchema(JobsError):
    """A newer version of this service wrote the record; nothing of it was read or changed."""


# Clients see these.


class ClientError(JobsError):
    """Base of the errors that answer a client's request."""


class NotFound(ClientError):
    """Base of the errors for something that this tenant does not have, or that was deleted."""


class NoSuchJob(NotFound):
    """The tenant has no job of this id."""


class NoSuchPart(NotFound):
    """A job of its kind has no such part; the text says what it has instead."""


class NoSuchCheckpoint(NotFound):
    """The job has no committed checkpoint of this tick or name."""


class CheckpointMoved(NoSuchCheckpoint):
    """The checkpoint was removed, or saved again, since it was read: find it anew."""


class NoSuchDataset(NotFound):
    """The tenant has no dataset of this id."""


class NoSuchKey(NotFound):
    """There is no access key of this id."""


class NoSuchWebhook(NotFound):
    """The tenant has no webhook of this id."""


class NoSuchDelivery(NotFound):
    """The webhook has no delivery of this id, or no longer."""


class WebhookDisabled(ClientError):
    """Nothing is sent to the webhook, for the reason in the text."""


class IllegalTransition(ClientError):
    """The job's status does not allow this action; `allowed` lists the actions that it allows."""

    def __init__(self, action: str, status: str, allowed: Sequence[str]) -> None:
        super().__init__(f"cannot {action} a job that is {status}")
        self.action, self.status, self.allowed = action, status, list(allowed)


class NotTerminal(ClientError):
    """Only an ended job can be deleted; `status` is the job's."""

    def __init__(self, status: str) -> None:
        super().__init__(f"the job is {status}; only an ended job can be deleted")
        self.status = status


class NoResult(ClientError):
    """A predict of a dataset has no predictions to download: it has not succeeded."""

    def __init__(self, status: str) -> None:
        super().__init__(f"it has predictions when it has succeeded; it is {status}")
        self.status = status


class JobSpared(ClientError):
    """The job has a pinned checkpoint, or a live job needs it; it is deleted by name alone."""


class LastCheckpoint(ClientError):
    """A live job's last checkpoint cannot be deleted; `status` is the job's."""

    def __init__(self, status: str) -> None:
        super().__init__(f"the job is {status} and could go on from no other checkpoint")
        self.status = status


class DatasetInUse(ClientError):
    """A dataset that live jobs use cannot be deleted; `jobs` has the ids of some of them."""

    def __init__(self, jobs: Sequence[str]) -> None:
        super().__init__("live jobs use it: " + ", ".join(jobs))
        self.jobs = list(jobs)


class DatasetDeleted(ClientError):
    """A job cannot be run again because a dataset of its spec was deleted."""


class CheckpointNotKept(ClientError):
    """The job has no checkpoint of the tick to go on from; `ticks` are those that it has."""

    def __init__(self, tick: int | str, ticks: list[int]) -> None:
        listed = f" of tick {tick}; it keeps: {', '.join(map(str, ticks))}" if ticks else ""
        super().__init__(f"the job keeps no checkpoint{listed}")
        self.ticks = ticks


class HoldLost(ClientError):
    """A copy took so long that its files may have been removed; nothing was stored."""


class IdempotencyMismatch(ClientError):
    """This idempotency key was used with another body."""


class IdempotentResultDeleted(ClientError):
    """What was made under this idempotency key has been deleted."""


class RequestInProgress(ClientError):
    """The first request with this idempotency key is not answered yet."""


class BadCursor(ClientError):
    """No list gave out this cursor."""


class QueueFull(ClientError):
    """The tenant has `limit` queued jobs, the most that it may have; nothing was stored."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} jobs are queued, which is all that one tenant may have")
        self.limit = limit


class CheckpointsHeld(QueueFull):
    """Questions that wait keep `limit` old checkpoints of the job; nothing was stored."""

    def __init__(self, limit: int) -> None:
        rule = "which is the most that questions without an answer yet may keep"
        ClientError.__init__(self, f"{limit} old checkpoints of the job are kept, {rule}")


class NotExportable(ClientError):
    """A net cannot be written in this form; the text has the rule."""


class NoExportWorker(ClientError):
    """No live worker has what an export needs; nothing was stored."""


class ExportFailed(ClientError):
    """An export has failed, and is not tried again for now; the text says why and for how long."""


class QuotaExceeded(ClientError):
    """A quota of the tenant would be exceeded; nothing was stored.

    `used` of `limit` is in use, and `needed` more would be: jobs, or bytes.
    """

    def __init__(self, name: str, used: int, limit: int, needed: int) -> None:
        rule = f"this needs {needed:,} more" if needed > 1 else "the tenant may have no more"
        super().__init__(f"{used:,} of {limit:,} {name} are in use: {rule}")
        self.name, self.used, self.limit, self.needed = name, used, limit, needed


class RateLimitExceeded(ClientError):
    """The key has used up its requests for now; the next one passes in `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the next request passes in {seconds:.3f} s")
        self.seconds = seconds


# Owners of a job see these.


class LeaseError(JobsError):
    """Base of the errors that a job's owner meets."""


class LeaseLost(LeaseError):
    """The lease shown is not, or no longer, the job's; its holder must drop the attempt."""


class ConcurrentChange(LeaseError):
    """The state that a change was based on has changed; read it again."""


class TickGap(LeaseError):
    """Ticks were offered beyond the accepted tick + 1; `tick` is the accepted one."""

    def __init__(self, tick: int) -> None:
        super().__init__(f"the accepted tick is {tick}")
        self.tick = tick


class TickMismatch(LeaseError):
    """A recorded tick was offered with other bits; `recorded` and `offered` are the bytes.

    The message has them as the certificate of a verify does: most significant byte first.
    """

    def __init__(self, tick: int, column: str, recorded: bytes, offered: bytes) -> None:
        before, after = (values.describe_bits(column, raw) for raw in (recorded, offered))
        super().__init__(
            f"{column} of tick {tick} is recorded as {before}, computed again it is {after}"
        )
        self.tick, self.column, self.recorded, self.offered = tick, column, recorded, offered


class NotAccepted(LeaseError):
    """A segment or checkpoint reaches beyond the accepted tick, or the job has not ended."""


class WrongFinalTick(LeaseError):
    """A job cannot succeed at the accepted tick `tick`: it should end at another."""

    def __init__(self, tick: int) -> None:
        super().__init__(f"the accepted tick is {tick}")
        self.tick = tick


class FingerprintMismatch(LeaseError):
    """The job's ticks have another fingerprint, and its spec requires an equal one."""


class MissingCanary(LeaseError):
    """Whether this worker may take a job depends on its canary for `threads`, not measured yet."""

    def __init__(self, threads: int) -> None:
        super().__init__(f"no canary for {threads} threads")
        self.threads = threads


# Operators see these, when a process starts.


class InvalidSetting(JobsError):
    """A setting cannot be used; the text names the variable, the value and the rule."""


class UnsafeStore(JobsError):
    """The store's settings would lose jobs; the text says which and what is needed."""


class StoreMismatch(UnsafeStore):
    """The artifacts are of another store, or newer than it; the text says what to do."""
