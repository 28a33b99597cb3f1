"""Whether store, API and workers answer. Asks over their own doors; starts and ends nothing."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Mapping

from jobs import presence
from jobs.archive.identity import check_not_older, check_store_matches
from jobs.files import ArtifactStore
from jobs.settings import Settings
from jobs.store import UNAVAILABLE, check_store, connect

#: seconds an answer may take before it counts as "not yet"
ASK = 1.0
#: seconds between two lines that say that the store is waited for
TELL = 5.0


class Service:
    """The questions that the supervisor has; `workers` maps names to processes, asked anew."""

    def __init__(
        self, settings: Settings, address: tuple[str, int], say: Callable[[str], None]
    ) -> None:
        self._settings, self._address, self._say = settings, address, say
        self._silent_since = time.monotonic()
        self._store = connect(settings.redis_url)
        self.workers: Mapping[str, int | None] = {}

    def store_answers(self) -> bool:
        """Whether the store is up; one that still loads its file is not.

        Raises WeakStore if it would lose jobs, or is not the one of the artifacts.
        """
        try:
            self._store.ping()
            check_store(self._store, unchecked=self._settings.store_unchecked)
            files = ArtifactStore(self._settings.artifacts)
            check_store_matches(self._store, files)
            check_not_older(self._store, files)
        except UNAVAILABLE as error:
            self._tell_of_silence(error)
            return False
        return True

    def service_answers(self) -> bool:
        """Whether all workers have announced themselves and the API says that it is ready."""
        return self._workers_are_there() and self._api_is_ready()

    def _tell_of_silence(self, error: Exception) -> None:
        """Say every few seconds what is waited for; an embedded store needs milliseconds."""
        if time.monotonic() - self._silent_since > TELL:
            where = self._settings.redis_url.split("@")[-1]  # without a password
            self._say(f"waiting for the store at {where}: {error}")
            self._silent_since = time.monotonic()

    def _workers_are_there(self) -> bool:
        try:
            live = {about["name"]: about["pid"] for about in presence.live_workers(self._store)}
        except UNAVAILABLE:
            return False
        return all(live.get(name) == pid for name, pid in self.workers.items())

    def _api_is_ready(self) -> bool:
        connection = http.client.HTTPConnection(*self._address, timeout=ASK)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
