"""The thread that renews a lease, and kills a trainer that may not or does not go on.

It kills when the lease is another worker's, when nothing has happened for the stall limit, and when
a cancel or a drain has waited longer than its grace. Cancels reach an attempt in two ways: here,
also while the trainer is stuck, and with the reply of each append.
Knows the ledger and one function that kills; knows no chunk and no file.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from jobs.background_thread import BackgroundThread
from jobs.errors import LeaseLost, StoreFull
from jobs.job import Lease
from jobs.ledger.owner import LeaseLedger
from jobs.store.connection import StoreError
from workers.drain import Drain

KillReason = Literal["fenced", "stalled", "cancelled", "drained"]

#: seconds between two checks; a phase that lasts longer than this is sent to the ledger
CHECK_SECONDS = 0.25
#: seconds that a trainer may take to end its chunk once a cancel is requested
CANCEL_GRACE_SECONDS = 10.0


class Heartbeat(BackgroundThread):
    """A context that renews a lease.

    The attempt sets `phase`, calls `touch` and `mark_store_unavailable`, and reads
    `is_store_unavailable`; `kill_reason` says why the trainer was killed, if it was.
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
        """Renew every `renew_seconds`; kill after `stall_seconds` without a `touch`."""
        super().__init__("heartbeat")
        self.phase = "starting"
        self.kill_reason: KillReason | None = None
        self._ledger, self._lease, self._drain = ledger, lease, drain
        self._renew_seconds, self._stall_seconds = renew_seconds, stall_seconds
        self._kill: Callable[[], None] | None = None
        self._kill_lock = threading.Lock()
        self._last_activity = self._renewed_at = time.monotonic()
        self._reported_phase = self.phase
        self._cancel_seen_at: float | None = None
        self._is_store_unavailable = False

    @contextmanager
    def guarding(self, kill: Callable[[], None]) -> Iterator[None]:
        """Inside, the thread may call `kill`, which ends the trainer, at most once."""
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
        """Count as activity that the trainer or the store has replied, or is waited for."""
        self._last_activity = time.monotonic()

    def enter_phase(self, phase: str) -> None:
        """Set the phase that the trainer has reported."""
        self.phase = phase
        self.touch()

    def mark_store_unavailable(self) -> None:
        """Note that the store did not answer: the thread now renews at every check."""
        self._is_store_unavailable = True

    @property
    def is_store_unavailable(self) -> bool:
        """Return whether the store has not replied since `mark_store_unavailable`."""
        return self._is_store_unavailable

    def _run(self) -> None:
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
        is_renewed = now - self._renewed_at < self._renew_seconds and not self._is_store_unavailable
        if is_renewed and self.phase == self._reported_phase:
            return None
        return self._renew(now)

    def _renew(self, now: float) -> KillReason | None:
        phase = self.phase
        try:
            action = self._ledger.renew(self._lease, phase=phase)
        except LeaseLost:
            return "fenced"
        except (StoreError, StoreFull):
            return None  # unavailable or full: tried again at the next check
        self._renewed_at, self._reported_phase, self._is_store_unavailable = now, phase, False
        if action != "cancel":
            self._cancel_seen_at = None
        elif self._cancel_seen_at is None:
            self._cancel_seen_at = now
        return None
