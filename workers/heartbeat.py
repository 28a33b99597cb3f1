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
from jobs.ledger import JobLedger
from workers.drain import Drain

Verdict = Literal["fenced", "stalled", "cancelled", "drained"]

#: seconds between two looks; a phase that lasts longer than this is told to the ledger
LOOK_SECONDS = 0.25
#: seconds a trainer may take to the end of its chunk once a cancel was requested
CANCEL_GRACE_SECONDS = 10.0


class Heartbeat:
    """A context: the thread runs inside it.

    It is told `moved`, `phase` and `doubt_store`, and tells `verdict` and `store_away`.
    """

    def __init__(
        self, ledger: JobLedger, lease: Lease, *, every: float, stall: float, drain: Drain
    ) -> None:
        """Renew each `every` s; let nothing stand still for longer than `stall` s."""
        self.phase = "starting"
        self.verdict: Verdict | None = None
        self._ledger, self._lease, self._drain = ledger, lease, drain
        self._every, self._stall = every, stall
        self._kill: Callable[[], None] | None = None
        self._killing = threading.Lock()
        self._moved = self._renewed = time.monotonic()
        self._told = self.phase
        self._cancel_since: float | None = None
        self._away = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look_on, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _at: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    @contextmanager
    def watching(self, kill: Callable[[], None]) -> Iterator[None]:
        """Inside, `kill` ends the trainer: it is called at most once, and never after the end."""
        with self._killing:
            self._kill = kill
            if self.verdict is not None:
                kill()
        try:
            yield
        finally:
            with self._killing:
                self._kill = None

    def moved(self) -> None:
        """Note that the trainer or the store has answered, or that the store is waited for."""
        self._moved = time.monotonic()

    def doubt_store(self) -> None:
        """Note that the store did not answer: it is asked at every look until it does."""
        self._away = True

    @property
    def store_away(self) -> bool:
        """Whether the store, once it was in doubt, has not answered this thread since."""
        return self._away

    def _look_on(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            if (verdict := self._judge()) is not None:
                return self._pronounce(verdict)

    def _pronounce(self, verdict: Verdict) -> None:
        with self._killing:
            self.verdict = verdict
            if self._kill is not None:
                self._kill()

    def _judge(self) -> Verdict | None:
        now = time.monotonic()
        if now - self._moved > self._stall:
            return "stalled"
        if self._drain.overdue:
            return "drained"
        if self._cancel_since is not None and now - self._cancel_since > CANCEL_GRACE_SECONDS:
            return "cancelled"
        in_time = now - self._renewed < self._every and not self._away
        if in_time and self.phase == self._told:
            return None
        return self._renew(now)

    def _renew(self, now: float) -> Verdict | None:
        phase = self.phase
        try:
            requested = self._ledger.renew(self._lease, phase=phase)
        except LeaseLost:
            return "fenced"
        except (RedisError, StoreFull):
            return None  # away, full or out of order: tried again at the next look
        self._renewed, self._told, self._away = now, phase, False
        if requested != "cancel":
            self._cancel_since = None
        elif self._cancel_since is None:
            self._cancel_since = now
        return None
