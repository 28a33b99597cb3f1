"""Whether store, API and workers answer. Asks over their own doors; starts and ends nothing."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Mapping

from jobs.archive.store_identity import check_not_older, check_store_matches
from jobs.files.artifacts import ArtifactStore
from jobs.queries import worker_registry
from jobs.settings import Settings
from jobs.store.connection import UNAVAILABLE, check_store, connect

#: seconds an answer may take before it counts as "not yet"
ANSWER_TIMEOUT = 1.0
#: seconds between two lines that say that the store is waited for
LOG_INTERVAL = 5.0


class ReadinessProbe:
    """The questions that the supervisor has; `workers` maps names to processes, asked anew."""

    def __init__(
        self, settings: Settings, address: tuple[str, int], log: Callable[[str], None]
    ) -> None:
        self._settings, self._address, self._log = settings, address, log
        self._last_log_at = time.monotonic()
        self._store = connect(settings.redis_url)
        self.worker_pids: Mapping[str, int | None] = {}

    def is_store_ready(self) -> bool:
        """Whether the store is up; one that still loads its file is not.

        Raises UnsafeStore if it would lose jobs, or is not the one of the artifacts.
        """
        try:
            self._store.ping()
            check_store(self._store, unchecked=self._settings.store_unchecked)
            artifacts = ArtifactStore(self._settings.artifacts)
            check_store_matches(self._store, artifacts)
            check_not_older(self._store, artifacts)
        except UNAVAILABLE as error:
            self._log_wait(error)
            return False
        return True

    def is_service_ready(self) -> bool:
        """Whether all workers have announced themselves and the API says that it is ready."""
        return self._has_all_workers() and self._is_api_ready()

    def _log_wait(self, error: Exception) -> None:
        """Say every few seconds what is waited for; an embedded store needs milliseconds."""
        if time.monotonic() - self._last_log_at > LOG_INTERVAL:
            store_address = self._settings.redis_url.split("@")[-1]  # without a password
            self._log(f"waiting for the store at {store_address}: {error}")
            self._last_log_at = time.monotonic()

    def _has_all_workers(self) -> bool:
        try:
            live_pids = {
                worker["name"]: worker["pid"]
                for worker in worker_registry.live_workers(self._store)
            }
        except UNAVAILABLE:
            return False
        return all(live_pids.get(name) == pid for name, pid in self.worker_pids.items())

    def _is_api_ready(self) -> bool:
        connection = http.client.HTTPConnection(*self._address, timeout=ANSWER_TIMEOUT)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
