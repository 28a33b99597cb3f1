"""Starts store, then API and workers, restarts them, and stops them in order. No threads."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from types import FrameType

from serving.process import Child
from serving.readiness import ReadinessProbe

#: deaths of one child before the service was first ready, after which the start fails
MAX_DEATHS_BEFORE_READY = 5
#: seconds between two checks of the children
POLL_SECONDS = 0.1
# A stop takes at most 10 s. Seconds after its start at which …
#: … workers get SIGTERM, even if a slow request still holds the API
API_HEAD_START_SECONDS = 0.5
#: … API and workers are killed: the next start resumes their jobs
KILL_AFTER_SECONDS = 9.0
#: … the store is killed: every write is fsynced already
KILL_STORE_AFTER_SECONDS = 9.8


class StartFailed(Exception):
    """The service cannot become ready; the message says why."""


class StopSignals:
    """Counts SIGTERM, SIGINT and SIGHUP: one requests an ordered stop, two a quick one."""

    def __init__(self) -> None:
        self.count = 0
        # a script's background job inherits it ignored, and so would the children
        signal.signal(signal.SIGQUIT, signal.SIG_DFL)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1


class Supervisor:
    """Runs one store (None: an external one), one API and the workers."""

    def __init__(
        self,
        store: Child | None,
        api: Child,
        workers: Sequence[Child],
        *,
        readiness: ReadinessProbe,
        stop_signals: StopSignals,
    ) -> None:
        self._store = [store] if store is not None else []
        self._api = api
        self._workers = list(workers)
        self._readiness = readiness
        self._stop_signals = stop_signals

    def run(
        self,
        preload: Callable[[], None],
        on_ready: Callable[[], None],
        log: Callable[[str], None],
    ) -> None:
        """Serve until a signal; call `on_ready` once everything answers. Raises StartFailed.

        `preload` imports what API and workers share, while the store starts. `log` gets a line
        for each step: on a cold disk each may take a while.
        """
        try:
            log("starting the store, and loading the modules of API and workers")
            _restart_dead(self._store)
            preload()
            if not self._wait_until(self._readiness.is_store_ready, self._store):
                return
            children = [*self._store, self._api, *self._workers]
            log(f"starting API and workers ({len(self._workers)}), which load torch")
            if not self._wait_until(self._readiness.is_service_ready, children):
                return
            on_ready()
            while self._stop_signals.count == 0:
                _restart_dead(children)
                time.sleep(POLL_SECONDS)
        finally:
            self._stop()

    def _wait_until(self, is_ready: Callable[[], bool], children: Sequence[Child]) -> bool:
        """Restart children until `is_ready()` (True) or a signal (False). Raises StartFailed."""
        while self._stop_signals.count == 0:
            _restart_dead(children)
            if is_ready():
                return True
            for child in children:
                if child.deaths >= MAX_DEATHS_BEFORE_READY:
                    detail = f"{child.name} ended {child.deaths} times before it was ready"
                    raise StartFailed(detail)
            time.sleep(POLL_SECONDS / 2)
        return False

    def _stop(self) -> None:
        """Stop the API first, so that no request comes in, then the workers, then the store."""
        started = time.monotonic()
        self._api.terminate()
        self._wait_for_exit([self._api], started + API_HEAD_START_SECONDS)
        for worker in self._workers:
            worker.terminate()
        clients = [self._api, *self._workers]
        self._wait_for_exit(clients, started + KILL_AFTER_SECONDS)
        for child in clients:
            child.kill()
        for child in self._store:
            child.terminate()
            deadline = time.monotonic() + KILL_STORE_AFTER_SECONDS - KILL_AFTER_SECONDS
            self._wait_for_exit([child], deadline, is_abortable=False)
            child.kill()

    def _wait_for_exit(
        self, children: Sequence[Child], deadline: float, *, is_abortable: bool = True
    ) -> None:
        """Wait until all have exited, the deadline, or a second signal if `is_abortable`."""
        # a list, not a generator: each child is checked, so that all groups are killed at once
        while not all([child.reap_if_exited() for child in children]):
            is_aborted = is_abortable and self._stop_signals.count > 1
            if is_aborted or time.monotonic() > deadline:
                return
            time.sleep(POLL_SECONDS / 5)


def _restart_dead(children: Sequence[Child]) -> None:
    for child in children:
        child.restart_if_dead()
