"""This machine's canaries by thread count, and its engines, measured by a short-lived trainer.

Each thread count is measured once per worker. Knows the fork server and the worker's folder, where
the worker's two processes share the results.
"""

import hashlib
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from jobs.backoff import Backoff
from workers.forkserver_client import spawn_trainer
from workers.outcomes import UNAVAILABLE_DEVICE
from workers.trainer_client import TrainerClient, TrainerError
from workers.worker_folder import WorkerFolder

CANARIES_FILE, ENGINES_FILE = "canaries", "engines"
#: seconds before a device is tried again that could not be used: at first, and at most
INITIAL_RETRY_SECONDS, MAX_RETRY_SECONDS = 1.0, 60.0


class UnusableDevice(Exception):
    """torch cannot compute on this worker's device; the message says why."""


class Canaries:
    """The canaries of one device: workers with equal canaries compute equal bits."""

    def __init__(self, worker_folder: WorkerFolder, device: str) -> None:
        self._folder, self._device = worker_folder, device
        self._retry_backoff = Backoff(INITIAL_RETRY_SECONDS, MAX_RETRY_SECONDS)
        self._error: UnusableDevice | None = None
        self._retry_at = 0.0

    def known_canaries(self) -> dict[str, str]:
        """Return the canaries measured so far, by thread count as text."""
        return dict(self._folder.read(CANARIES_FILE) or {})

    def forget(self) -> None:
        """Forget what was measured: the device may not be what it was."""
        self._folder.write(CANARIES_FILE, {})
        self._folder.write(ENGINES_FILE, {})

    def engine_prefixes(self) -> dict[str, str]:
        """Return the start of each available engine's identity by name; {} before a `measure`."""
        return dict((self._folder.read(ENGINES_FILE) or {}).get("begin", {}))

    def ready_engines(self) -> list[str]:
        """Return the engines that needed no compiling at the last measurement."""
        return list((self._folder.read(ENGINES_FILE) or {}).get("ready", []))

    def measure(self, threads: int, may_retry: Callable[[], bool] = lambda: True) -> str:
        """Return the canary for a thread count, measuring it first if needed (some 50 ms).

        `may_retry` says whether to go on waiting for a fork server. Raises ForkServerUnavailable,
        PeerGone, TrainerError, or UnusableDevice: again and again, and after ever longer pauses
        of another try.
        """
        thread_key = str(threads)
        if (known := self.known_canaries().get(thread_key)) is not None:
            return known
        reply = self._measure_in_trainer(threads, may_retry)
        canary = add_torch_version(reply["canary"])
        self._folder.write(ENGINES_FILE, {"begin": _prefixes(reply), "ready": reply["ready"]})
        self._folder.write(CANARIES_FILE, {**self.known_canaries(), thread_key: canary})
        return canary

    def _measure_in_trainer(self, threads: int, may_retry: Callable[[], bool]) -> dict[str, Any]:
        if self._error is not None and time.monotonic() < self._retry_at:
            raise self._error
        process = spawn_trainer(self._folder.socket_path, may_retry)
        try:
            return TrainerClient(process.connection).canary(threads, self._device)
        except TrainerError as error:
            if error.kind != UNAVAILABLE_DEVICE:
                raise
            self._error = UnusableDevice(error.detail)
            self._retry_at = time.monotonic() + self._retry_backoff.next_delay()
            raise self._error from None
        finally:
            process.close()


def _prefixes(reply: dict[str, Any]) -> dict[str, str]:
    return {name: f"{engine} {reply['torch']}" for name, engine in reply["engines"].items()}


def add_torch_version(canary: str) -> str:
    """Return a kernel canary combined with torch's version, as workers register it."""
    # Claims compare canaries only, but a history belongs to one version of torch too: without it a
    # worker would claim a job again and again and find its fingerprint different.
    return hashlib.sha256(f"{version('torch')} {canary}".encode()).hexdigest()[:32]
