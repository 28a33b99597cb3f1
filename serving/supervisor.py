"""The parent's life: store, then API and workers, watched, ended in order. Starts no thread."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Protocol

from serving.process import Child

#: deaths of one child before the service was ever ready, after which the start is given up
HOPELESS = 5
#: seconds between two looks at the children
LOOK = 0.1
#: The promise is 15 s for the whole stop. Seconds after its beginning by which …
API_HEADSTART = 2.0  # … workers are asked to end even if a slow answer still holds the API
KILL = 12.5  # … API and workers are killed: whatever was killed is resumed by the next start
STORE_KILL = 14.5  # … the store is killed: its log is fsynced with every write


class StartFailed(Exception):
    """The service cannot become ready; the text says why."""


class Readiness(Protocol):
    """What the supervisor asks the outside: answers soon, never raises for "not yet"."""

    def store_answers(self) -> bool: ...  # may refuse one that would lose jobs, by raising
    def service_answers(self) -> bool: ...


class StopSignals:
    """Counts SIGTERM, SIGINT and SIGHUP: one asks for an ordered stop, two for a quick one."""

    def __init__(self) -> None:
        self.count = 0
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._note)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1


class Supervisor:
    """Runs one store (None: it is somebody else's), one API and the workers."""

    def __init__(
        self,
        store: Child | None,
        api: Child,
        workers: Sequence[Child],
        *,
        readiness: Readiness,
        stops: StopSignals,
    ) -> None:
        self._store = [store] if store is not None else []
        self._api = api
        self._workers = list(workers)
        self._readiness = readiness
        self._stops = stops

    def run(self, announce: Callable[[], None]) -> None:
        """Serve until a signal; `announce` is called once, when everything answers."""
        try:
            if not self._until(self._readiness.store_answers, self._store):
                return
            everything = [*self._store, self._api, *self._workers]
            if not self._until(self._readiness.service_answers, everything):
                return
            announce()
            while self._stops.count == 0:
                _tend(everything)
                time.sleep(LOOK)
        finally:
            self._stop()

    def _until(self, ready: Callable[[], bool], children: Sequence[Child]) -> bool:
        """Tend the children until ready() (True) or a signal (False). Raises StartFailed."""
        while self._stops.count == 0:
            _tend(children)
            if ready():
                return True
            for child in children:
                if child.deaths >= HOPELESS:
                    raise StartFailed(
                        f"{child.name} ended {child.deaths} times before it was ready"
                    )
            time.sleep(LOOK / 2)
        return False

    def _stop(self) -> None:
        """API first, so that nothing new comes in; workers drain; the store goes last."""
        began = time.monotonic()
        self._api.ask_to_end()
        self._wait([self._api], began + API_HEADSTART)
        for worker in self._workers:
            worker.ask_to_end()
        clients = [self._api, *self._workers]
        self._wait(clients, began + KILL)
        for child in clients:
            child.kill()
        for child in self._store:
            child.ask_to_end()
            _wait_gone([child], time.monotonic() + STORE_KILL - KILL)
            child.kill()

    def _wait(self, children: Sequence[Child], deadline: float) -> None:
        _wait_gone(children, deadline, impatient=lambda: self._stops.count > 1)


def _tend(children: Sequence[Child]) -> None:
    for child in children:
        child.tend()


def _wait_gone(
    children: Sequence[Child], deadline: float, impatient: Callable[[], bool] = lambda: False
) -> None:
    # a list, not a generator: every child is looked at, so that each one's leftovers go at once
    while not all([child.gone() for child in children]):
        if time.monotonic() > deadline or impatient():
            return
        time.sleep(LOOK / 5)
