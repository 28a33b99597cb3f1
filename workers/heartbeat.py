"""The thread that keeps a lease alive, and ends a trainer that no longer deserves it.

It renews every third of the lease. It kills the trainer, and says why, when the lease is another's,
when nothing has moved for the stall limit, or when a cancel or a drain has waited for its grace.
Knows the ledger and one function that kills; knows no chunk and no file.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Literal, Self

from redis.exceptions import RedisError

from jobs.errors import LeaseLost, StoreFull
from jobs.job import Lease
from jobs.ledger.owner import LeaseLedger
from workers.drain import Drain

KillReason = Literal["fenced", "stalled", "cancelled", "drained"]

#: seconds between two looks; a phase that lasts longer than this is told to the ledger
CHECK_SECONDS = 0.25
#: seconds a trainer may take to the end of its chunk once a cancel was requested
CANCEL_GRACE_SECONDS = 10.0


class Heartbeat:
    """A context: the thread runs inside it.

    It is told `moved`, `phase` and `mark_store_unavailable`, and tells `verdict` and `is_store_unavailable`.
    """

    def __init__(
        self,
        ledger: LeaseLedger,
        lease: Lease,
        *,
        renew_seconds: float,
        stall_seconds: float,
        drain: Drain,
    ) -> None:
        """Renew each `every` s; let nothing stand still for longer than `stall` s."""
        self.phase = "starting"
        self.kill_reason: KillReason | None = None
        self._ledger, self._lease, self._drain = ledger, lease, drain
        self._renew_seconds, self._stall_seconds = renew_seconds, stall_seconds
        self._kill: Callable[[], None] | None = None
        self._kill_lock = threading.Lock()
        self._last_activity = self._last_renewal = time.monotonic()
        self._reported_phase = self.phase
        self._cancel_seen_at: float | None = None
        self._is_store_unavailable = False
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _at: TracebackType | None,
    ) -> None:
        self._stopped.set()
        self._thread.join()

    @contextmanager
    def guarding(self, kill: Callable[[], None]) -> Iterator[None]:
        """Inside, `kill` ends the trainer: it is called at most once, and never after the end."""
        with self._kill_lock:
            self._kill = kill
            if self.kill_reason is not None:
                kill()
        try:
            yield
        finally:
            with self._kill_lock:
                self._kill = None

    def touch(self) -> None:
        """Note that the trainer or the store has answered, or that the store is waited for."""
        self._last_activity = time.monotonic()

    def enter_phase(self, phase: str) -> None:
        """Set the phase that the trainer has reported."""
        self.phase = phase
        self.touch()

    def mark_store_unavailable(self) -> None:
        """Note that the store did not answer: it is asked at every look until it does."""
        self._is_store_unavailable = True

    @property
    def is_store_unavailable(self) -> bool:
        """Whether the store, once it was in doubt, has not answered this thread since."""
        return self._is_store_unavailable

    def _watch(self) -> None:
        while not self._stopped.wait(CHECK_SECONDS):
            if (kill_reason := self._check()) is not None:
                return self._kill_trainer(kill_reason)

    def _kill_trainer(self, kill_reason: KillReason) -> None:
        with self._kill_lock:
            self.kill_reason = kill_reason
            if self._kill is not None:
                self._kill()

    def _check(self) -> KillReason | None:
        now = time.monotonic()
        if now - self._last_activity > self._stall_seconds:
            return "stalled"
        if self._drain.is_overdue:
            return "drained"
        if self._cancel_seen_at is not None and now - self._cancel_seen_at > CANCEL_GRACE_SECONDS:
            return "cancelled"
        is_recently_renewed = (
            now - self._last_renewal < self._renew_seconds and not self._is_store_unavailable
        )
        if is_recently_renewed and self.phase == self._reported_phase:
            return None
        return self._renew(now)

    def _renew(self, now: float) -> KillReason | None:
        phase = self.phase
        try:
            action = self._ledger.renew(self._lease, phase=phase)
        except LeaseLost:
            return "fenced"
        except (RedisError, StoreFull):
            return None  # away, full or out of order: tried again at the next look
        self._last_renewal, self._reported_phase, self._is_store_unavailable = now, phase, False
        if action != "cancel":
            self._cancel_seen_at = None
        elif self._cancel_seen_at is None:
            self._cancel_seen_at = now
        return None
