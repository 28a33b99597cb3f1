"""Waiting for changes of jobs: one thread reads all notices and wakes the subscribers.

A process needs one connection for this, however many threads wait. A notice is a hint: subscribers
read the job and judge, so a needless one does no harm; after an outage every subscriber gets one.
"""

import threading
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from jobs import logs
from jobs.store import keys
from jobs.store.codec import decode_loss
from jobs.store.connection import UNAVAILABLE, CommandError, Store, connect

#: a read blocks for this long, so a new subscription is delayed by it at most; far below a
#: command's timeout, so that an ordinary client notices a store that hangs
BLOCK_MS = 100
#: between two reads: a single notice is delivered at once, a stream of them in batches
READ_PAUSE_SECONDS = 0.02
RETRY_SECONDS = 0.5

JobName = tuple[str, str]  # tenant, job id
TickAndLoss = tuple[int, float | None]
Entry = tuple[bytes, dict[bytes, bytes]]  # of a stream: its id, its fields


@dataclass(frozen=True)
class Notices:
    """The jobs that changed, and the newest tick and loss of those that trained on."""

    changed: frozenset[JobName]
    ticks: Mapping[JobName, TickAndLoss]


@dataclass(eq=False)
class Subscription:
    """The notices of some jobs for one thread. Ticks below `min_tick` are left out."""

    names: Collection[JobName]
    min_tick: int = 0
    _changed: set[JobName] = field(default_factory=set)
    _ticks: dict[JobName, TickAndLoss] = field(default_factory=dict)
    _ticks_from: float = 0.0
    _is_closed: bool = False
    _condition: threading.Condition = field(default_factory=threading.Condition)

    def wait(self, until: float, *, ticks_from: float = 0.0) -> Notices:
        """Wait for a notice until `until`; ticks alone end the wait from `ticks_from` on.

        Both are monotonic times. Returns at once when the process shuts down.
        """
        with self._condition:
            self._ticks_from = ticks_from
            while not self._has_news(now := time.monotonic()) and now < until:
                wake = min(until, ticks_from) if self._ticks else until
                self._condition.wait(wake - now)
            notices = Notices(frozenset(self._changed), dict(self._ticks))
            self._changed.clear()
            self._ticks.clear()
        return notices

    def deliver(self, name: JobName, is_changed: bool, tick: TickAndLoss | None) -> None:
        """Add a notice of a job, and wake the waiting thread."""
        with self._condition:
            was_idle = not self._changed and not self._ticks
            if is_changed:
                self._changed.add(name)
            if tick is not None and tick[0] >= self.min_tick:
                self._ticks[name] = tick
            # the first tick wakes it too, to wait on until `ticks_from`
            if is_changed or (was_idle and self._ticks):
                self._condition.notify()

    def close(self) -> None:
        """End the waiting."""
        with self._condition:
            self._is_closed = True
            self._condition.notify()

    def _has_news(self, now: float) -> bool:
        has_ticks = bool(self._ticks) and now >= self._ticks_from
        return self._is_closed or bool(self._changed) or has_ticks


class NoticeListener:
    """Owns the thread that reads notices, which runs while there are subscriptions."""

    def __init__(self, url: str) -> None:
        self._store: Store = connect(url)
        self._lock = threading.Lock()
        self._names: dict[bytes, JobName] = {}  # by the key of their notices
        self._positions: dict[JobName, bytes] = {}
        self._subscriptions: dict[JobName, set[Subscription]] = {}
        self._thread: threading.Thread | None = None
        self.is_closing = False

    @contextmanager
    def subscribe(self, names: Collection[JobName], *, min_tick: int = 0) -> Iterator[Subscription]:
        """Subscribe to these jobs; read them after this, so that no change is missed."""
        subscription = Subscription(names, min_tick)
        newest = self._newest_positions(names)
        with self._lock:
            for name in names:
                self._names[keys.notices(*name).encode()] = name
                self._positions.setdefault(name, newest[name])
                self._subscriptions.setdefault(name, set()).add(subscription)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="notices", daemon=True)
                self._thread.start()
        try:
            yield subscription
        finally:
            with self._lock:
                self._unsubscribe(subscription)

    def close(self) -> None:
        """End all waiting soon. Takes no lock: signal handlers may call it."""
        self.is_closing = True

    def _unsubscribe(self, subscription: Subscription) -> None:
        for name in subscription.names:
            self._subscriptions[name].discard(subscription)
            if not self._subscriptions[name]:
                del self._subscriptions[name], self._positions[name]
                del self._names[keys.notices(*name).encode()]

    def _newest_positions(self, names: Collection[JobName]) -> dict[JobName, bytes]:
        """Return the id of each job's newest notice."""
        with self._store.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.xrevrange(keys.notices(*name), count=1)
            ends: list[Any] = pipe.execute()
        return {name: end[0][0] if end else b"0" for name, end in zip(names, ends, strict=True)}

    def _run(self) -> None:
        is_unavailable = False
        while positions := self._next_positions():
            try:
                streams: Any = self._store.xread(positions, block=BLOCK_MS)
            except (*UNAVAILABLE, CommandError) as error:
                if not is_unavailable:
                    logs.get_logger("notices").warning("no news from the store", error=repr(error))
                is_unavailable = True
                time.sleep(RETRY_SECONDS)
                continue
            if is_unavailable:
                is_unavailable = False
                self._notify_all()
            if streams:
                self._dispatch(streams)
                time.sleep(READ_PAUSE_SECONDS)

    def _next_positions(self) -> dict[Any, Any] | None:
        """Return the positions to read from; None ends the thread until the next subscription."""
        with self._lock:
            if self.is_closing:
                for subscription in self._all_subscriptions():
                    subscription.close()
            if not self._positions or self.is_closing:
                self._thread = None
                return None
            return {key: self._positions[name] for key, name in self._names.items()}

    def _dispatch(self, streams: list[tuple[bytes, list[Entry]]]) -> None:
        with self._lock:
            for key, entries in streams:
                name = self._names.get(key)
                if name is None:
                    continue  # its last subscription ended meanwhile
                self._positions[name] = entries[-1][0]
                notices = [fields for _, fields in entries]
                ticks = [fields for fields in notices if b"t" in fields]
                newest = (int(ticks[-1][b"t"]), decode_loss(ticks[-1].get(b"l"))) if ticks else None
                for subscription in self._subscriptions[name]:
                    subscription.deliver(name, len(ticks) < len(notices), newest)

    def _notify_all(self) -> None:
        """Notify all, and read from the start: a store that lost data has other positions."""
        with self._lock:
            self._positions = {name: b"0" for name in self._positions}
            for subscription in self._all_subscriptions():
                for name in subscription.names:
                    subscription.deliver(name, True, None)

    def _all_subscriptions(self) -> set[Subscription]:
        return {subscription for group in self._subscriptions.values() for subscription in group}
