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

from jobs.store import UNAVAILABLE
from jobs.tailing import JobName, NoticeListener

T = TypeVar("T")

#: an app's Waiting, among its extensions
WAITING = "tickforge.waiting"

#: a longer wait is cut to this; tests of whatever takes a `wait` make it small
LONGEST = 30.0
#: between two looks without a notice: there is none of a queue's order, of other jobs, of files
RELOOK = 2.0
#: how long a wait bears an absent store, and how often it asks for it
AWAY_SECONDS, AWAY_PAUSE = 3.0, 0.25
RETRY_AFTER = "2"
NEVER = 10**18  # a tick that no job reaches

#: what a peer that has left looks like; half-closed connections are taken for closed ones
LEFT = select.POLLHUP | select.POLLERR | getattr(select, "POLLRDHUP", 0)


class Places:
    """How many threads may be held at a time, and how many are; `told` hears of each change."""

    def __init__(self, threads: int, told: Callable[[int], None] = lambda _: None) -> None:
        self.limit = max(1, threads * 3 // 4)
        self._told = told
        self._taken = 0
        self._lock = threading.Lock()

    @property
    def taken(self) -> int:
        """How many are taken now."""
        return self._taken

    def take(self) -> bool:
        """Take one, if there is one."""
        with self._lock:
            if self._taken >= self.limit:
                return False
            self._taken += 1
        self._told(1)
        return True

    def give_back(self) -> None:
        """Leave one."""
        with self._lock:
            self._taken -= 1
        self._told(-1)


@dataclass(frozen=True)
class Held(Generic[T]):
    """What was seen last: `over` when the time was, `crowded` when there was no place to wait."""

    value: T
    over: bool = False
    crowded: bool = False

    def mark(self, response: Response) -> Response:
        """Say when to ask again, where there was no place."""
        if self.crowded:
            response.headers["Retry-After"] = RETRY_AFTER
        return response


@dataclass(frozen=True)
class Waiting:
    """Where waits happen: the ears of the process, and its places."""

    tailer: NoticeListener
    places: Places

    def leave(self) -> None:
        """Let go of every wait and stream, soon. A signal handler may call it."""
        self.tailer.close()

    def hold(
        self,
        name: JobName,
        seconds: float,
        look: Callable[[], T],
        ends: Callable[[T, float], bool],
        *,
        least: int = 0,
        ticks_after: float = 0.0,
        relook: float | None = None,
    ) -> Held[T]:
        """Look at a job until that `ends` it (given what was seen and the seconds waited).

        Ticks are news from `least` on, and `ticks_after` seconds from the beginning.
        """
        began = time.monotonic()
        value = look()
        if seconds <= 0 or ends(value, 0.0):
            return Held(value)
        if not self.places.take():
            return Held(value, crowded=True)
        try:
            deadline = began + min(seconds, LONGEST)
            with self.tailer.subscribe([name], min_tick=least) as news:
                while True:
                    value = patient(look)
                    now = time.monotonic()
                    if ends(value, now - began):
                        return Held(value)
                    if now >= deadline or self.tailer.is_closing or client_left():
                        return Held(value, over=True)
                    ticks_from = began + ticks_after
                    wake = min(deadline, now + (relook or RELOOK))
                    news.wait(
                        min(wake, ticks_from) if now < ticks_from else wake, ticks_from=ticks_from
                    )
        finally:
            self.places.give_back()


def patient(look: Callable[[], T]) -> T:
    """Look, and again for a while when the store is away: it may be starting."""
    until = time.monotonic() + AWAY_SECONDS
    while True:
        try:
            return look()
        except UNAVAILABLE:
            if time.monotonic() > until:
                raise
        time.sleep(AWAY_PAUSE)


def client_left() -> bool:
    """Whether who made this request has closed the connection."""
    return has_left(connection())


def connection() -> socket.socket | None:
    """Return the request's connection, where the server tells it."""
    found: Any = request.environ.get("gunicorn.socket")
    return found if isinstance(found, socket.socket) else None


def has_left(peer: socket.socket | None) -> bool:
    """Whether the other end of a connection has closed it. Reads nothing."""
    if peer is None or peer.fileno() < 0:
        return peer is not None
    poll = select.poll()
    poll.register(peer, LEFT)
    return bool(poll.poll(0))
