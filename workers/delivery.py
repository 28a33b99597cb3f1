"""Delivery of one attempt's calls to the store: in order, buffered while it is unavailable.

Knows the heartbeat; knows nothing of what a call means, beyond the requests in its reply.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, cast

from jobs.errors import NotAccepted, StoreFull, TickGap
from jobs.ledger.claims import Claim
from jobs.ledger.owner import AppendResult
from jobs.store.connection import UNAVAILABLE
from workers.drain import Drain
from workers.heartbeat import Heartbeat
from workers.store_retry import StoreRetry, StoreUnavailable

#: requests of clients, and of the machine (drain)
Action = Literal["cancel", "pause", "stop", "drain"]

#: ticks that may be pending, and as many that are held after they were sent
MAX_TICKS = 1 << 20
#: the same in calls: a slow training's chunks are single ticks
MAX_CALLS = 1 << 14


class ClientRequests:
    """What clients and the machine request of a claimed job, as last read from the store.

    Requests arrive with the reply of each append, of each renewal while training waits for room,
    and of each progress record of a verify. (The heartbeat sees a cancel on its own, so that it
    reaches a trainer that is stuck inside a chunk.)
    """

    def __init__(self, claim: Claim, drain: Drain) -> None:
        self._recorded_tick, self._drain = claim.tick, drain
        self.client_action: str | None = claim.requested  # an Action but drain
        self.has_checkpoint_request = False

    @property
    def action(self) -> Action | None:
        """Return the client's action or, if there is none, "drain" when the worker must leave."""
        drain: Action | None = "drain" if self._drain.is_requested else None
        return cast(Action | None, self.client_action) or drain

    def action_after(self, *, has_progress: bool) -> Action | None:
        """Return the requested action; a stop counts only once there is progress."""
        action = self.action
        return None if action == "stop" and not has_progress else action

    def wants_checkpoint_at(self, tick: int) -> bool:
        """Return whether a client waits for the checkpoint of this tick; never during a replay."""
        return self.has_checkpoint_request and tick >= self._recorded_tick

    def update(self, result: AppendResult) -> None:
        """Take the requests that came with the reply to an append."""
        self.client_action = result.requested
        self.has_checkpoint_request = result.checkpoint_requested


@dataclass(frozen=True)
class BufferedCall:
    """A call that may be sent twice; it appends `count` ticks, the last of them `last`."""

    last: int
    count: int
    call: Callable[[], AppendResult | None]
    is_commit: bool = False


class WriteBuffer:
    """An attempt's calls in order: first the sent ones, then the pending ones.

    A call is pending until the store has accepted it. Accepted calls since the last commit but one
    are kept, to be sent again to a store that restarted without them. Bounded in ticks and calls.
    """

    def __init__(self, max_ticks: int = MAX_TICKS, max_calls: int = MAX_CALLS) -> None:
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


class BufferedDelivery:
    """Sends calls in order, sends them again to a store that lost them, and reads the replies."""

    def __init__(
        self,
        requests: ClientRequests,
        heartbeat: Heartbeat,
        retry: StoreRetry,
        write_log: Callable[[str], None],
        buffer: WriteBuffer,
        last_tick: int,
    ) -> None:
        """Begin after `last_tick`, the last one that the store has accepted."""
        self._requests, self._heartbeat, self._retry = requests, heartbeat, retry
        self._write_log, self._buffer = write_log, buffer
        self._last_tick, self._is_store_behind = last_tick, False

    @property
    def is_behind(self) -> bool:
        """Return whether calls wait for the store."""
        return self._is_store_behind or self._buffer.next_pending is not None

    def send(self, entry: BufferedCall, *, wait: bool = False) -> None:
        """Send a call after all earlier ones; it may stay buffered unless `wait` is set."""
        if entry.count:
            self._last_tick = entry.last
        # a call without ticks is ordered after the last tick sent, so that both are sent again
        # together
        self._buffer.add(replace(entry, last=max(entry.last, self._last_tick)))
        self._send_pending(wait=wait or self._buffer.is_full)
        self._heartbeat.touch()

    def flush(self) -> None:
        """Wait until the store has accepted every call."""
        self._send_pending(wait=True)

    def _send_pending(self, *, wait: bool) -> None:
        """Send what is buffered; without `wait`, only as far as the store accepts it now."""
        if self._heartbeat.is_store_unavailable and not wait:
            return
        try:
            while (entry := self._buffer.next_pending) is not None:
                self._send_one(entry, wait)
        except (*UNAVAILABLE, StoreFull) as error:
            self._heartbeat.mark_store_unavailable()  # its thread looks for the store from now on
            if not self._is_store_behind:
                self._write_log(f"the store takes nothing ({error}), the training goes on")
            self._is_store_behind = True
        else:
            if self._is_store_behind:
                self._write_log("the store has taken all that waited for it")
            self._is_store_behind = False

    def _send_one(self, entry: BufferedCall, wait: bool) -> None:
        try:
            result = self._retry(entry.call) if wait else entry.call()
        except (TickGap, NotAccepted) as error:
            if not self._buffer.requeue_from(error.tick if isinstance(error, TickGap) else 0):
                raise
            self._write_log(f"the store lost ticks ({error}), they are handed over again")
            return
        except (*UNAVAILABLE, StoreFull, StoreUnavailable):
            raise  # the call stays pending
        except Exception:
            self._buffer.drop_first()
            raise
        self._buffer.mark_sent()
        if result is not None:
            self._requests.update(result)
