"""What the ledger and its neighbours refuse, one class a reason. Knows no HTTP status."""

from collections.abc import Sequence

from jobs import values


class NoSuchJob(LookupError):
    """No job of this id in this tenant (also: it was deleted)."""


class UnsupportedSchema(Exception):
    """A newer version of this service wrote the record; nothing of it was read or changed."""


class NoSuchCheckpoint(LookupError):
    """The job has no committed checkpoint of this tick or name."""


class LastCheckpoint(Exception):
    """The last checkpoint that a live job could go on from stays; `status` is what the job is."""

    def __init__(self, status: str) -> None:
        super().__init__(f"the job is {status} and could go on from no other checkpoint")
        self.status = status


class ConcurrentChange(Exception):
    """What a change was made from is no longer so; look again."""


class DatasetDeleted(Exception):
    """A job cannot be run again: a dataset of its spec has been deleted."""


class NoSuchDataset(LookupError):
    """No dataset of this id in this tenant (also: it was deleted)."""


class DatasetInUse(Exception):
    """Only a dataset that no live job uses can be deleted; `jobs` names some that do."""

    def __init__(self, jobs: Sequence[str]) -> None:
        super().__init__("live jobs use it: " + ", ".join(jobs))
        self.jobs = list(jobs)


class NoSuchKey(LookupError):
    """No access key of this id (also: it was deleted)."""


class RateLimitExceeded(Exception):
    """A key has sent all it may for now; the next request passes in `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the next request passes in {seconds:.3f} s")
        self.seconds = seconds


class QueueFull(Exception):
    """The tenant has as many queued jobs as it may have; nothing was stored."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} jobs are queued, which is all that one tenant may have")
        self.limit = limit


class NotTerminal(Exception):
    """Only an ended job can be deleted; `status` is what it is now."""

    def __init__(self, status: str) -> None:
        super().__init__(f"the job is {status}; only an ended job can be deleted")
        self.status = status


class IllegalTransition(Exception):
    """A verb that the job's status does not allow; `allowed` names those it does."""

    def __init__(self, action: str, status: str, allowed: Sequence[str]) -> None:
        super().__init__(f"cannot {action} a job that is {status}")
        self.action, self.status, self.allowed = action, status, list(allowed)


class IdempotencyMismatch(Exception):
    """This idempotency key was used with another body."""


class RequestInProgress(Exception):
    """The first request with this idempotency key is not answered yet."""


class IdempotentResultDeleted(Exception):
    """What this idempotency key made has been deleted."""


class BadCursor(ValueError):
    """A list's cursor that no list gave out."""


class LeaseLost(Exception):
    """The lease shown is not (or no longer) the job's: whoever shows it must drop all it has."""


class TickGap(Exception):
    """Ticks were offered beyond the accepted tick + 1; `tick` is the accepted one."""

    def __init__(self, tick: int) -> None:
        super().__init__(f"the accepted tick is {tick}")
        self.tick = tick


class TickMismatch(Exception):
    """A tick that is recorded already was offered with other bits; both are given as hex."""

    def __init__(self, tick: int, column: str, recorded: str, offered: str) -> None:
        recorded_text, offered_text = (
            f"{text} ({values.decode_value(column, bytes.fromhex(text))})"
            for text in (recorded, offered)
        )
        super().__init__(
            f"{column} of tick {tick} is recorded as {recorded_text}, computed again it is {offered_text}"
        )
        self.tick, self.column, self.recorded, self.offered = tick, column, recorded, offered


class WrongFinalTick(Exception):
    """A job cannot succeed here; `tick` is the accepted one, which is not where it should end."""

    def __init__(self, tick: int) -> None:
        super().__init__(f"the accepted tick is {tick}")
        self.tick = tick


class NotAccepted(Exception):
    """A segment may not move yet, or a checkpoint is of a tick that is not accepted."""


class FingerprintMismatch(Exception):
    """This job's bits belong to another fingerprint, and its spec requires equal ones."""


class MissingCanary(Exception):
    """Whether this worker is fit for a queued job hangs on a canary it has not measured yet."""

    def __init__(self, threads: int) -> None:
        super().__init__(f"no canary for {threads} threads")
        self.threads = threads


class StoreFull(Exception):
    """The store has no memory (or no disk) left for new jobs; nothing was stored."""


class UnsafeStore(Exception):
    """The store's settings would lose jobs; the text says which and what is needed."""


class StoreMismatch(UnsafeStore):
    """The artifacts are of another store, or know more than this one; the text says what to do."""


class InvalidSetting(ValueError):
    """A setting that cannot be used; the text names the variable, the value and the rule."""
