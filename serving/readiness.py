"""Checks whether store, API and workers are ready, as a client does. Starts and ends nothing."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Mapping

from jobs.archive.store_identity import check_not_older, check_store_matches
from jobs.files.artifacts import ArtifactStore
from jobs.queries import worker_registry
from jobs.settings import Settings
from jobs.store.connection import UNAVAILABLE, check_store, connect, ping
from jobs.store_address import describe_address

#: seconds after which a missing answer counts as "not ready"
ANSWER_TIMEOUT = 1.0
#: seconds between two log lines while waiting for the store
LOG_INTERVAL = 5.0


class ReadinessProbe:
    """The supervisor's readiness checks; both return soon, and False for "not yet".

    `worker_pids()` returns the expected workers' pids by name.
    """

    def __init__(
        self,
        settings: Settings,
        address: tuple[str, int],
        *,
        worker_pids: Callable[[], Mapping[str, int | None]],
        log: Callable[[str], None],
    ) -> None:
        self._settings, self._address = settings, address
        self._worker_pids, self._log = worker_pids, log
        self._last_log_at = time.monotonic()
        self._clients = {name: connect(url) for name, url in settings.servers.items()}
        self._store = self._clients["TICKFORGE_REDIS_URL"]

    def is_store_ready(self) -> bool:
        """Return whether store and broker answer, and the store has loaded its file.

        Raises UnsafeStore if it could lose jobs, or is not the store of the artifacts.
        """
        try:
            for variable, client in self._clients.items():
                ping(client, variable=variable)
            check_store(self._store, unchecked=self._settings.store_unchecked)
            artifacts = ArtifactStore(self._settings.artifacts)
            check_store_matches(self._store, artifacts)
            check_not_older(self._store, artifacts)
        except UNAVAILABLE as error:
            self._log_wait(error)
            return False
        return True

    def is_service_ready(self) -> bool:
        """Return whether all workers are registered and the API answers /readyz with 200."""
        return self._has_all_workers() and self._is_api_ready()

    def _log_wait(self, error: Exception) -> None:
        """Log every LOG_INTERVAL seconds that the store is awaited."""
        if time.monotonic() - self._last_log_at > LOG_INTERVAL:
            addresses = " and ".join(map(describe_address, self._settings.servers.values()))
            self._log(f"waiting for the store at {addresses}: {error}")
            self._last_log_at = time.monotonic()

    def _is_disk_away(self, response: http.client.HTTPResponse) -> bool:
        """Return whether the disk of the artifacts is all that is missing: jobs can be deleted."""
        problem = json.loads(response.read() or b"{}")
        if is_away := str(problem.get("reason", "")).startswith("disk-"):
            self._log(f"the disk of the artifacts takes nothing: {problem.get('detail')}")
        return is_away

    def _has_all_workers(self) -> bool:
        try:
            workers = worker_registry.live_workers(self._store)
        except UNAVAILABLE:
            return False
        live_pids = {worker["name"]: worker["pid"] for worker in workers}
        return all(live_pids.get(name) == pid for name, pid in self._worker_pids().items())

    def _is_api_ready(self) -> bool:
        connection = http.client.HTTPConnection(*self._address, timeout=ANSWER_TIMEOUT)
        try:
            connection.request("GET", "/readyz")
            response = connection.getresponse()
            return response.status == 200 or self._is_disk_away(response)
        except (OSError, ValueError, http.client.HTTPException):
            return False
        finally:
            connection.close()
