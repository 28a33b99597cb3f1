"""Answers held until there is news, and the bound on all that holds a thread. Knows no resource.

A wait that must not be (all places are taken) or cannot be (the process leaves, the client left)
is answered with the state now.
"""

import select
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from flask import Response, request

from jobs.queries.notices import JobName, NoticeListener
from jobs.store.connection import UNAVAILABLE

T = TypeVar("T")

#: an app's Waiting, among its extensions
LONG_POLLER_EXTENSION = "tickforge.waiting"

#: a longer wait is cut to this; tests of whatever takes a `wait` make it small
MAX_WAIT_SECONDS = 30.0
#: between two looks without a notice: there is none of a queue's order, of other jobs, of files
POLL_SECONDS = 2.0
#: how long a wait bears an absent store, and how often it asks for it
MAX_STORE_OUTAGE_SECONDS, STORE_RETRY_PAUSE_SECONDS = 3.0, 0.25
RETRY_AFTER = "2"
UNREACHABLE_TICK = 10**18  # a tick that no job reaches

#: what a peer that has left looks like; half-closed connections are taken for closed ones
PEER_CLOSED_EVENTS = select.POLLHUP | select.POLLERR | getattr(select, "POLLRDHUP", 0)


class HeldRequestLimit:
    """How many threads may be held at a time, and how many are; `told` hears of each change."""

    def __init__(self, threads: int, on_change: Callable[[int], None] = lambda _: None) -> None:
        self.limit = max(1, threads * 3 // 4)
        self._on_change = on_change
        self._in_use = 0
        self._lock = threading.Lock()

    @property
    def in_use(self) -> int:
        """How many are taken now."""
        return self._in_use

    def acquire(self) -> bool:
        """Take one, if there is one."""
        with self._lock:
            if self._in_use >= self.limit:
                return False
            self._in_use += 1
        self._on_change(1)
        return True

    def release(self) -> None:
        """Leave one."""
        with self._lock:
            self._in_use -= 1
        self._on_change(-1)


@dataclass(frozen=True)
class PollResult(Generic[T]):
    """What was seen last: `over` when the time was, `crowded` when there was no place to wait."""

    value: T
    timed_out: bool = False
    no_capacity: bool = False

    def add_retry_after(self, response: Response) -> Response:
        """Say when to ask again, where there was no place."""
        if self.no_capacity:
            response.headers["Retry-After"] = RETRY_AFTER
        return response


@dataclass(frozen=True)
class LongPoller:
    """Where waits happen: the ears of the process, and its places."""

    notice_listener: NoticeListener
    held_request_limit: HeldRequestLimit

    def shutdown(self) -> None:
        """Let go of every wait and stream, soon. A signal handler may call it."""
        self.notice_listener.close()

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
    ) -> PollResult[T]:
        """Look at a job until that `ends` it (given what was seen and the seconds waited).

        Ticks are news from `least` on, and `ticks_after` seconds from the beginning.
        """
        started_at = time.monotonic()
        value = fetch()
        if seconds <= 0 or is_done(value, 0.0):
            return PollResult(value)
        if not self.held_request_limit.acquire():
            return PollResult(value, no_capacity=True)
        try:
            deadline = started_at + min(seconds, MAX_WAIT_SECONDS)
            with self.notice_listener.subscribe([name], min_tick=min_tick) as listener:
                while True:
                    value = retry_while_store_unavailable(fetch)
                    now = time.monotonic()
                    if is_done(value, now - started_at):
                        return PollResult(value)
                    if now >= deadline or self.notice_listener.is_closing or client_disconnected():
                        return PollResult(value, timed_out=True)
                    ticks_from = started_at + ticks_after
                    wakeup_at = min(deadline, now + (interval or POLL_SECONDS))
                    listener.wait(
                        min(wakeup_at, ticks_from) if now < ticks_from else wakeup_at,
                        ticks_from=ticks_from,
                    )
        finally:
            self.held_request_limit.release()


def retry_while_store_unavailable(fetch: Callable[[], T]) -> T:
    """Look, and again for a while when the store is away: it may be starting."""
    deadline = time.monotonic() + MAX_STORE_OUTAGE_SECONDS
    while True:
        try:
            return fetch()
        except UNAVAILABLE:
            if time.monotonic() > deadline:
                raise
        time.sleep(STORE_RETRY_PAUSE_SECONDS)


def client_disconnected() -> bool:
    """Whether who made this request has closed the connection."""
    return peer_closed(client_socket())


def client_socket() -> socket.socket | None:
    """Return the request's connection, where the server tells it."""
    peer: Any = request.environ.get("gunicorn.socket")
    return peer if isinstance(peer, socket.socket) else None


def peer_closed(peer: socket.socket | None) -> bool:
    """Whether the other end of a connection has closed it. Reads nothing."""
    if peer is None or peer.fileno() < 0:
        return peer is not None
    poll = select.poll()
    poll.register(peer, PEER_CLOSED_EVENTS)
    return bool(poll.poll(0))
