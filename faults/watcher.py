"""What clients see: a thread that polls jobs over HTTP and records all that it was shown.

It records each response's status and time, each status a job was shown with, and the losses as they
came. Knows HTTP and nothing of the store.
"""

import contextlib
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import httpx

from faults.invariants import RecordedResponse
from jobs.background_thread import BackgroundThread
from jobs.job import TERMINAL_STATUSES

POLL_SECONDS = 0.15
BINARY = {"Accept": "application/octet-stream"}
PROBLEM = "application/problem+json"


@dataclass
class ObservedJob:
    """What a client was shown of one job."""

    losses: bytes = b""
    statuses: list[str] = field(default_factory=list)
    job: dict[str, Any] = field(default_factory=dict)
    #: two threads that fetched the same ticks would append them twice
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def has_ended(self) -> bool:
        return bool(self.statuses) and self.statuses[-1] in TERMINAL_STATUSES


class Watcher(BackgroundThread):
    """A context in which the thread runs. Requests of a round may go through `request`."""

    def __init__(self, http: httpx.Client) -> None:
        super().__init__("watcher")
        self._http, self._lock = http, threading.Lock()
        self._jobs: dict[str, ObservedJob] = {}
        self._responses: list[RecordedResponse] = []

    def watch(self, job_id: str) -> ObservedJob:
        """Poll a job from now on."""
        with self._lock:
            return self._jobs.setdefault(job_id, ObservedJob())

    def forget(self, job_id: str | None = None) -> None:
        """Stop polling a job, or (None) all of them: the next round has jobs of its own."""
        with self._lock:
            if job_id is None:
                self._jobs.clear()
            else:
                self._jobs.pop(job_id, None)

    def take_responses(self) -> list[RecordedResponse]:
        """Return the responses since the last call."""
        with self._lock:
            responses, self._responses = self._responses, []
        return responses

    def request(self, method: str, path: str, **options: Any) -> httpx.Response | None:
        """Send a request and record its response; None when the connection was refused or cut."""
        started = time.monotonic()
        response: httpx.Response | None = None
        with contextlib.suppress(httpx.TransportError):
            response = self._http.request(method, path, **options)
        seconds = time.monotonic() - started
        media_type = "" if response is None else response.headers.get("Content-Type", "")
        status = None if response is None else response.status_code
        is_problem = media_type.startswith(PROBLEM)
        recorded = RecordedResponse(f"{method} {path}", status, is_problem, seconds)
        with self._lock:
            self._responses.append(recorded)
        return response

    def observe(self, job_id: str) -> None:
        """Fetch one job now: its state, and what is new of its history."""
        observed = self.watch(job_id)
        with observed.lock:
            response = self.request("GET", f"/v1/jobs/{job_id}")
            if response is None or response.status_code != 200:
                return
            observed.job = response.json()
            if not observed.statuses or observed.statuses[-1] != observed.job["status"]:
                observed.statuses.append(observed.job["status"])
            known_ticks = len(observed.losses) // 4
            if observed.job["tick"] > known_ticks:
                self._fetch_losses(job_id, observed, known_ticks)

    def _fetch_losses(self, job_id: str, observed: ObservedJob, known_ticks: int) -> None:
        path = f"/v1/jobs/{job_id}/history?after={known_ticks}"
        response = self.request("GET", path, headers=BINARY)
        if response is not None and response.status_code == 200:
            observed.losses += response.content

    def _run(self) -> None:
        while not self._stopped.wait(POLL_SECONDS):
            with self._lock:
                live_jobs = [job_id for job_id, job in self._jobs.items() if not job.has_ended]
            for job_id in live_jobs:
                self.observe(job_id)
