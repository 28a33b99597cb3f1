"""A client's eyes: a thread that polls jobs over HTTP and keeps all that it has been shown.

It notes each answer's status and time, each status a job was shown with, and the losses as they
came. Knows HTTP and nothing of the store.
"""

import contextlib
import threading
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import httpx

from faults.invariants import ENDED, Answered

PAUSE_SECONDS = 0.15
BINARY = {"Accept": "application/octet-stream"}
PROBLEM = "application/problem+json"


@dataclass
class Seen:
    """What a client has been shown of one job."""

    losses: bytes = b""
    statuses: list[str] = field(default_factory=list)
    job: dict[str, Any] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        return bool(self.statuses) and self.statuses[-1] in ENDED


class Watcher:
    """A context: the thread runs inside it. Every request of a round may go through `ask`."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http
        self._jobs: dict[str, Seen] = {}
        self._answers: list[Answered] = []
        self._lock, self._over = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._go_round, name="watcher", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _at: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    def watch(self, job_id: str) -> Seen:
        """Look at a job from now on."""
        with self._lock:
            return self._jobs.setdefault(job_id, Seen())

    def forget(self) -> None:
        """Look at nothing; the next round has jobs of its own."""
        with self._lock:
            self._jobs.clear()

    def taken(self) -> list[Answered]:
        """The answers since the last call."""
        with self._lock:
            found, self._answers = self._answers, []
        return found

    def ask(self, method: str, path: str, **how: Any) -> httpx.Response | None:
        """Make a request and note its answer; None when the connection was refused or cut."""
        began = time.monotonic()
        answer: httpx.Response | None = None
        with contextlib.suppress(httpx.TransportError):
            answer = self._http.request(method, path, **how)
        seconds = time.monotonic() - began
        kind = "" if answer is None else answer.headers.get("Content-Type", "")
        status = None if answer is None else answer.status_code
        noted = Answered(f"{method} {path}", status, kind.startswith(PROBLEM), seconds)
        with self._lock:
            self._answers.append(noted)
        return answer

    def look(self, job_id: str) -> None:
        """Look at one job now: how it stands, and what is new of its history."""
        seen = self.watch(job_id)
        answer = self.ask("GET", f"/v1/jobs/{job_id}")
        if answer is None or answer.status_code != 200:
            return
        seen.job = answer.json()
        if not seen.statuses or seen.statuses[-1] != seen.job["status"]:
            seen.statuses.append(seen.job["status"])
        known = len(seen.losses) // 4
        if seen.job["tick"] > known:
            self._look_on(job_id, seen, known)

    def _look_on(self, job_id: str, seen: Seen, known: int) -> None:
        answer = self.ask("GET", f"/v1/jobs/{job_id}/history?after={known}", headers=BINARY)
        if answer is not None and answer.status_code == 200:
            seen.losses += answer.content

    def _go_round(self) -> None:
        while not self._over.wait(PAUSE_SECONDS):
            with self._lock:
                waiting = [job_id for job_id, seen in self._jobs.items() if not seen.ended]
            for job_id in waiting:
                self.look(job_id)
