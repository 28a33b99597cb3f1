"""Waiting for news of jobs: one thread reads all the notices, and wakes who asked for them.

However many threads wait, a process has one connection that does. A notice is a hint: who hears
one reads the job and judges; so one too many does no harm, and after the store was away everybody
is given a hint.
"""

import threading
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import redis

from jobs import keys, logs
from jobs.record import loss_of
from jobs.store import AWAY, connect

#: how long one read blocks: whoever joins meanwhile hears of news so much later at most. (A read
#: cannot be cut short by a plain user of the store, and this far below a command's time-out an
#: ordinary client does, which notices a store that stands still.)
BLOCK_MS = 100
#: between two reads: what comes at once is heard at once, what comes all the time is heard in gulps
GAP = 0.02
AWAY_SECONDS = 0.5

Name = tuple[str, str]  # tenant, job id


@dataclass(frozen=True)
class News:
    """What was heard: jobs of which something happened, and the newest tick and loss of others."""

    stirred: frozenset[Name]
    ticks: Mapping[Name, tuple[int, float | None]]


@dataclass(eq=False)
class Listener:
    """One waiting thread's ears. Ticks below `least` are no news to it."""

    names: Collection[Name]
    least: int = 0
    _stirred: set[Name] = field(default_factory=set)
    _ticks: dict[Name, tuple[int, float | None]] = field(default_factory=dict)
    _ticks_from: float = 0.0
    _over: bool = False
    _heard: threading.Condition = field(default_factory=threading.Condition)

    def wait(self, until: float, *, ticks_from: float = 0.0) -> News:
        """Wait for news, till `until` (monotonic) at most; ticks alone are none before theirs.

        Returns at once when the process is leaving.
        """
        with self._heard:
            self._ticks_from = ticks_from
            while not self._is_time(now := time.monotonic()) and now < until:
                wake = min(until, ticks_from) if self._ticks else until
                self._heard.wait(wake - now)
            news = News(frozenset(self._stirred), dict(self._ticks))
            self._stirred.clear()
            self._ticks.clear()
        return news

    def tell(self, name: Name, stirred: bool, tick: tuple[int, float | None] | None) -> None:
        """Let it hear of a job."""
        with self._heard:
            asleep = not self._stirred and not self._ticks
            if stirred:
                self._stirred.add(name)
            if tick is not None and tick[0] >= self.least:
                self._ticks[name] = tick
            # the first tick wakes it too: to sleep on until ticks are news
            if stirred or (asleep and self._ticks):
                self._heard.notify()

    def end(self) -> None:
        """Let it wait no more."""
        with self._heard:
            self._over = True
            self._heard.notify()

    def _is_time(self, now: float) -> bool:
        return self._over or bool(self._stirred) or bool(self._ticks and now >= self._ticks_from)


class Tailer:
    """The thread that reads notices; it lives while anybody listens."""

    def __init__(self, url: str) -> None:
        self._store: redis.Redis = connect(url)
        self._lock = threading.Lock()
        self._names: dict[bytes, Name] = {}  # by the key of their notices
        self._positions: dict[Name, bytes] = {}
        self._listeners: dict[Name, set[Listener]] = {}
        self._thread: threading.Thread | None = None
        self.closing = False

    @contextmanager
    def listen(self, names: Collection[Name], *, least: int = 0) -> Iterator[Listener]:
        """Hear of everything that happens to these jobs from now on. Look at them after this."""
        listener = Listener(names, least)
        newest = self._newest(names)
        with self._lock:
            for name in names:
                self._names[keys.notices(*name).encode()] = name
                self._positions.setdefault(name, newest[name])
                self._listeners.setdefault(name, set()).add(listener)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="tailer", daemon=True)
                self._thread.start()
        try:
            yield listener
        finally:
            with self._lock:
                self._leave(listener)

    def close(self) -> None:
        """Let everybody go, soon. Takes no lock: a signal handler may call it."""
        self.closing = True

    def _leave(self, listener: Listener) -> None:
        for name in listener.names:
            self._listeners[name].discard(listener)
            if not self._listeners[name]:
                del self._listeners[name], self._positions[name]
                del self._names[keys.notices(*name).encode()]

    def _newest(self, names: Collection[Name]) -> dict[Name, bytes]:
        """Where each job's notices end now."""
        with self._store.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.xrevrange(keys.notices(*name), count=1)
            ends: list[Any] = pipe.execute()
        return {name: end[0][0] if end else b"0" for name, end in zip(names, ends, strict=True)}

    def _run(self) -> None:
        away = False
        while wanted := self._wanted():
            try:
                found: Any = self._store.xread(wanted, block=BLOCK_MS)
            except (*AWAY, redis.ResponseError) as error:
                if not away:
                    logs.get("tailer").warning("no news from the store", error=repr(error))
                away = True
                time.sleep(AWAY_SECONDS)
                continue
            if away:
                away = False
                self._stir_all()
            if found:
                self._hand_out(found)
                time.sleep(GAP)

    def _wanted(self) -> dict[Any, Any] | None:
        """What to read; None ends the thread, and whoever listens then starts another."""
        with self._lock:
            if self.closing:
                for listener in self._all():
                    listener.end()
            if not self._positions or self.closing:
                self._thread = None
                return None
            return {key: self._positions[name] for key, name in self._names.items()}

    def _hand_out(self, found: list[tuple[bytes, list[tuple[bytes, dict[bytes, bytes]]]]]) -> None:
        with self._lock:
            for key, entries in found:
                name = self._names.get(key)
                if name is None:
                    continue  # its last listener left meanwhile
                self._positions[name] = entries[-1][0]
                told = [fields for _, fields in entries]
                ticks = [fields for fields in told if b"t" in fields]
                newest = (int(ticks[-1][b"t"]), loss_of(ticks[-1].get(b"l"))) if ticks else None
                for listener in self._listeners[name]:
                    listener.tell(name, len(ticks) < len(told), newest)

    def _stir_all(self) -> None:
        """Give everybody a hint; and where notices end may have changed with a lost log."""
        with self._lock:
            self._positions = {name: b"0" for name in self._positions}
            for listener in self._all():
                for name in listener.names:
                    listener.tell(name, True, None)

    def _all(self) -> set[Listener]:
        return {listener for those in self._listeners.values() for listener in those}
