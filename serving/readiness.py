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
#: seconds between two log lines about what is waited for
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
            addresses = " and ".join(map(describe_address, self._settings.servers.values()))
            self._log_wait(f"waiting for the store at {addresses}: {error}")
            return False
        return True

    def is_service_ready(self) -> bool:
        """Return whether all workers are registered and the API answers /readyz with 200."""
        if missing := self._missing_workers():
            self._log_wait(f"waiting for {len(missing)} of the workers: {missing[0]} …")
            return False
        if not self._is_api_ready():
            self._log_wait("waiting for the API")
            return False
        return True

    def _log_wait(self, text: str) -> None:
        """Log what is waited for, every LOG_INTERVAL seconds."""
        if time.monotonic() - self._last_log_at > LOG_INTERVAL:
            self._log(text)
            self._last_log_at = time.monotonic()

    def _is_disk_away(self, response: http.client.HTTPResponse) -> bool:
        """Return whether the disk of the artifacts is all that is missing: jobs can be deleted."""
        problem = json.loads(response.read() or b"{}")
        if is_away := str(problem.get("reason", "")).startswith("disk-"):
            self._log(f"the disk of the artifacts takes nothing: {problem.get('detail')}")
        return is_away

    def _missing_workers(self) -> list[str]:
        """Return the names of those that are not registered with their present process."""
        expected = self._worker_pids()
        try:
            workers = worker_registry.live_workers(self._store)
        except UNAVAILABLE:
            return list(expected)
        live_pids = {worker["name"]: worker["pid"] for worker in workers}
        return [name for name, pid in expected.items() if live_pids.get(name) != pid]

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
