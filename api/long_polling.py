"""Long polls: requests held until there is news.

Without capacity, at shutdown, or after the client has disconnected, a long poll returns the current
state at once. Knows no resource.
"""

import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from flask import Response, g

from api.auth import RevocationWatch
from api.client_socket import client_socket
from api.held_requests import RETRY_AFTER, HeldRequestLimit
from jobs.backoff import Backoff
from jobs.queries.notices import JobName, NoticeListener
from jobs.store.connection import UNAVAILABLE

T = TypeVar("T")

#: key of the LongPoller in the app's extensions
LONG_POLLER_EXTENSION = "tickforge.waiting"

#: longer waits are cut to this
MAX_WAIT_SECONDS = 60.0
#: for changes without a notice: queue order, other jobs, files
POLL_SECONDS = 2.0
MAX_STORE_OUTAGE_SECONDS, STORE_RETRY_PAUSE_SECONDS = 3.0, 0.25
UNREACHABLE_TICK = 10**18  # no job gets this far

#: half-closed connections count as closed
PEER_CLOSED_EVENTS = select.POLLHUP | select.POLLERR | getattr(select, "POLLRDHUP", 0)


@dataclass(frozen=True)
class PollResult(Generic[T]):
    """What a poll fetched last."""

    value: T
    timed_out: bool = False
    no_capacity: bool = False  # nothing was waited for: too many requests are held

    def add_retry_after(self, response: Response) -> Response:
        """Add Retry-After to the response if there was no capacity to wait."""
        if self.no_capacity:
            response.headers["Retry-After"] = RETRY_AFTER
        return response


@dataclass(frozen=True)
class LongPoller:
    """Holds requests of one process."""

    notice_listener: NoticeListener
    held_request_limit: HeldRequestLimit

    def wait_for(
        self,
        name: JobName,
        seconds: float,
        fetch: Callable[[], T],
        is_done: Callable[[T, float], bool],
        *,
        min_tick: int = 0,
        ticks_after: float = 0.0,
        interval: float | None = None,
        first_look: float | None = None,
    ) -> PollResult[T]:
        """Fetch at each notice of a job until `is_done(value, seconds waited)` or a timeout.

        Notices of ticks count from `min_tick` on, and only after `ticks_after` seconds.
        Without a notice it fetches every `interval` seconds, with `first_look` after that many
        seconds first, doubled from one look to the next. Raises Problem (401) soon after the
        request's key was deleted.
        """
        started_at = time.monotonic()
        value = fetch()
        if seconds <= 0 or is_done(value, 0.0):
            return PollResult(value)
        if not self.held_request_limit.acquire():
            return PollResult(value, no_capacity=True)
        try:
            looks = Backoff(first_look or interval or POLL_SECONDS, interval or POLL_SECONDS)
            deadline = started_at + min(seconds, MAX_WAIT_SECONDS)
            watch = RevocationWatch(g.authenticator, g.key)
            with self.notice_listener.subscribe([name], min_tick=min_tick) as subscription:
                while True:
                    value = retry_while_store_unavailable(fetch)
                    now = time.monotonic()
                    if is_done(value, now - started_at):
                        return PollResult(value)
                    watch.check()
                    is_closing = now >= deadline or self.notice_listener.is_closing
                    if is_closing or peer_closed(client_socket()):
                        return PollResult(value, timed_out=True)
                    ticks_from = started_at + ticks_after
                    wakeup_at = min(deadline, now + looks.next_delay())
                    if now < ticks_from:
                        wakeup_at = min(wakeup_at, ticks_from)
                    subscription.wait(wakeup_at, ticks_from=ticks_from)
        finally:
            self.held_request_limit.release()


def retry_while_store_unavailable(fetch: Callable[[], T]) -> T:
    """Fetch, with retries for MAX_STORE_OUTAGE_SECONDS while the store is unavailable."""
    deadline = time.monotonic() + MAX_STORE_OUTAGE_SECONDS
    while True:
        try:
            return fetch()
        except UNAVAILABLE:
            if time.monotonic() > deadline:
                raise
        time.sleep(STORE_RETRY_PAUSE_SECONDS)


def peer_closed(peer: socket.socket | None) -> bool:
    """Whether the peer has closed the connection. Reads nothing."""
    if peer is None or peer.fileno() < 0:
        return peer is not None
    poll = select.poll()
    poll.register(peer, PEER_CLOSED_EVENTS)
    return bool(poll.poll(0))
