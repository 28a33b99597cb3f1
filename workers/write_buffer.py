"""What an attempt says to the store, in order: what is still to be taken, and what may be lost.

A store may be away for a while; it may also come back without its last second. So what was said is
kept here until the store has taken it, and after that since the checkpoint before the newest, to be
said again from where the store stands. Bounded in ticks and in calls. Knows no store and no job.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from jobs.ledger.owner import AppendResult

#: ticks that may wait for the store, and as many that are kept after it has taken them
MAX_BUFFERED_TICKS = 1 << 20
#: calls, likewise: a slow training's chunks are single ticks
MAX_BUFFERED_CALLS = 1 << 14


@dataclass(frozen=True)
class BufferedCall:
    """A call that may be made twice; it reaches tick `last` and brings `count` ticks."""

    last: int
    count: int
    call: Callable[[], AppendResult | None]
    is_commit: bool = False


class WriteBuffer:
    """Calls in their order: those taken, then those due."""

    def __init__(
        self, max_ticks: int = MAX_BUFFERED_TICKS, max_calls: int = MAX_BUFFERED_CALLS
    ) -> None:
        self._max_ticks, self._max_calls = max_ticks, max_calls
        self._sent: deque[BufferedCall] = deque()
        self._pending: deque[BufferedCall] = deque()
        self._sent_ticks = self._pending_ticks = 0

    def add(self, entry: BufferedCall) -> None:
        """Let a call be due, after all others."""
        self._pending.append(entry)
        self._pending_ticks += entry.count

    @property
    def next_pending(self) -> BufferedCall | None:
        """The first call that the store has not taken."""
        return self._pending[0] if self._pending else None

    @property
    def pending_ticks(self) -> int:
        """How many ticks wait for the store."""
        return self._pending_ticks

    @property
    def is_full(self) -> bool:
        """Whether so much is due that no more should come."""
        return self._pending_ticks >= self._max_ticks or len(self._pending) >= self._max_calls

    def drop_first(self) -> None:
        """Note that the store will never take the first call that was due."""
        self._pending_ticks -= self._pending.popleft().count

    def mark_sent(self) -> None:
        """Note that the store has taken the first call that was due."""
        entry = self._pending.popleft()
        self._pending_ticks -= entry.count
        self._sent.append(entry)
        self._sent_ticks += entry.count
        while self._sent_ticks > self._max_ticks or len(self._sent) > self._max_calls:
            self._drop_oldest_sent()
        if entry.is_commit:
            self._trim_to_last_two_commits()

    def requeue_from(self, accepted_tick: int) -> bool:
        """Let all be due again that a store at tick `accepted` may have lost.

        False when that is nothing: what it lacks is kept here no more.
        """
        pending_before = len(self._pending)
        while self._sent and self._sent[-1].last >= accepted_tick:
            entry = self._sent.pop()
            self._sent_ticks -= entry.count
            self._pending.appendleft(entry)
            self._pending_ticks += entry.count
        return len(self._pending) > pending_before

    def _trim_to_last_two_commits(self) -> None:
        commit_count = sum(entry.is_commit for entry in self._sent)
        while commit_count > 2 or (commit_count == 2 and not self._sent[0].is_commit):
            commit_count -= self._sent[0].is_commit
            self._drop_oldest_sent()

    def _drop_oldest_sent(self) -> None:
        self._sent_ticks -= self._sent.popleft().count
