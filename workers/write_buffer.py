"""The calls of an attempt that the store has not accepted, and those that it may still lose.

Calls are buffered until the store has accepted them, and then held back to the checkpoint before
the newest: if the store restarts without its last second, they are sent again from its accepted
tick. Bounded in ticks and in calls. Knows no store and no job.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from jobs.ledger.owner import AppendResult

#: ticks that may be pending, and as many that are held after they were sent
MAX_BUFFERED_TICKS = 1 << 20
#: the same in calls: a slow training's chunks are single ticks
MAX_BUFFERED_CALLS = 1 << 14


@dataclass(frozen=True)
class BufferedCall:
    """A call that may be sent twice; it appends `count` ticks, the last of them `last`."""

    last: int
    count: int
    call: Callable[[], AppendResult | None]
    is_commit: bool = False


class WriteBuffer:
    """Calls in order: first the sent ones, then the pending ones."""

    def __init__(
        self, max_ticks: int = MAX_BUFFERED_TICKS, max_calls: int = MAX_BUFFERED_CALLS
    ) -> None:
        self._max_ticks, self._max_calls = max_ticks, max_calls
        self._sent: deque[BufferedCall] = deque()
        self._pending: deque[BufferedCall] = deque()
        self._sent_ticks = self.pending_ticks = 0

    def add(self, entry: BufferedCall) -> None:
        """Append a pending call."""
        self._pending.append(entry)
        self.pending_ticks += entry.count

    @property
    def next_pending(self) -> BufferedCall | None:
        """Return the first call that the store has not accepted, or None."""
        return self._pending[0] if self._pending else None

    @property
    def is_full(self) -> bool:
        """Return whether the pending calls have reached a limit, so that training must wait."""
        return self.pending_ticks >= self._max_ticks or len(self._pending) >= self._max_calls

    def drop_first(self) -> None:
        """Drop the first pending call, which the store has refused for good."""
        self.pending_ticks -= self._pending.popleft().count

    def mark_sent(self) -> None:
        """Move the first pending call to the sent ones: the store has accepted it."""
        entry = self._pending.popleft()
        self.pending_ticks -= entry.count
        self._sent.append(entry)
        self._sent_ticks += entry.count
        while self._sent_ticks > self._max_ticks or len(self._sent) > self._max_calls:
            self._drop_oldest_sent()
        if entry.is_commit:
            self._trim_to_last_two_commits()

    def requeue_from(self, accepted_tick: int) -> bool:
        """Make the sent calls pending again that a store at `accepted_tick` may have lost.

        Returns False if there is none: the buffer no longer holds what the store lacks.
        """
        pending_before = len(self._pending)
        while self._sent and self._sent[-1].last >= accepted_tick:
            entry = self._sent.pop()
            self._sent_ticks -= entry.count
            self._pending.appendleft(entry)
            self.pending_ticks += entry.count
        return len(self._pending) > pending_before

    def _trim_to_last_two_commits(self) -> None:
        commit_count = sum(entry.is_commit for entry in self._sent)
        while commit_count > 2 or (commit_count == 2 and not self._sent[0].is_commit):
            commit_count -= self._sent[0].is_commit
            self._drop_oldest_sent()

    def _drop_oldest_sent(self) -> None:
        self._sent_ticks -= self._sent.popleft().count
