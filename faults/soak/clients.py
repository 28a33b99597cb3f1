"""Clients of a service in use: each thread repeats one kind of session, and checks what it got."""

import contextlib
import csv
import gzip
import io
import json
import random
import socket
import time
from abc import abstractmethod
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx

from faults.attack import Attack, JobUnderTest, RoundContext
from faults.catalogue.clients import resume_if_paused
from faults.invariants import Violation
from faults.round_checker import RoundChecker, load_factor
from faults.service_under_test import ADMIN_KEY
from jobs.background_thread import BackgroundThread
from jobs.job import TERMINAL_STATUSES

#: for a job to end, and its history to lie in files, on a quiet machine
JOB_SECONDS = 120.0
WAIT_SECONDS = 2.0  # of a long poll
MAX_PAUSE_SECONDS = 0.5  # between two sessions
#: name of a spec -> how often it is submitted
SPEC_WEIGHTS = {
    "dropout": 3.0, "momentum": 3.0, "patience": 2.0, "replayed": 3.0, "native": 3.0,
    "large": 0.3, "nonfinite": 2.0,
}  # fmt: skip
VERBS: tuple[tuple[str, ...], ...] = (
    (), (), (), ("pause", "resume"), ("stop",), ("cancel",), ("checkpoints",),
)  # fmt: skip


@dataclass
class Tally:
    """What all clients did, and the violations they saw."""

    counts: Counter[str] = field(default_factory=Counter)
    violations: list[Violation] = field(default_factory=list)

    def violate(self, invariant: str, what: str) -> None:
        """Add a violation."""
        self.violations.append(Violation(invariant, what))


class SoakClient(BackgroundThread):
    """A thread that repeats sessions until the context ends; the last session is finished."""

    def __init__(self, name: str, context: RoundContext, tally: Tally, seed: int) -> None:
        super().__init__(name)
        self.context, self.tally, self.rng = context, tally, random.Random(seed)

    def stop(self) -> None:
        """Begin no further session."""
        self._stopped.set()

    @abstractmethod
    def session(self) -> None:
        """Use the service once."""

    def request(self, method: str, path: str, **options: Any) -> httpx.Response | None:
        """Send a request; its status and time are checked with all others."""
        return self.context.watcher.request(method, path, **options)

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self.session()
            except Exception as error:  # of this suite, or of an answer that is not as promised
                self.tally.violate("soak", f"{self._thread.name} broke off: {error!r}")
            self._stopped.wait(self.rng.uniform(0, MAX_PAUSE_SECONDS))


class JobClient(SoakClient):
    """Submits a job, perhaps changes its course, waits for its end, checks it and deletes it."""

    def __init__(
        self, name: str, context: RoundContext, tally: Tally, seed: int, checker: RoundChecker
    ) -> None:
        super().__init__(name, context, tally, seed)
        self._checker = checker

    def session(self) -> None:
        """Take one job through its life."""
        [spec] = self.rng.choices(list(SPEC_WEIGHTS), list(SPEC_WEIGHTS.values()))
        attack = Attack(self._thread.name, self.context, self.rng, spec)
        job = attack.new_job()
        attack.sleep(0.0, 1.0)
        for verb in self.rng.choice(VERBS):
            attack.request(job, verb)
            attack.sleep(0.0, 0.3)
        self._wait_for_end(attack, job)
        self.tally.violations += self._checker.check_job(job)
        self._delete(job)

    def _wait_for_end(self, attack: Attack, job: JobUnderTest) -> None:
        deadline = time.monotonic() + JOB_SECONDS * load_factor()
        while not (job.is_over and self._checker.is_finalized(job)):
            self.request("GET", f"/v1/jobs/{job.job_id}?wait={WAIT_SECONDS:g}&until=end")
            if job.observed.job.get("status") == "paused":
                resume_if_paused(attack, job)
            if time.monotonic() > deadline:
                self.tally.violate("I1", f"{job.job_id} ({job.spec}) did not end")
                return
            time.sleep(0.05)

    def _delete(self, job: JobUnderTest) -> None:
        response = self.request("DELETE", f"/v1/jobs/{job.job_id}")
        if response is None or response.status_code != 204:
            answer = None if response is None else response.status_code
            self.tally.violate("I1", f"{job.job_id} was not deleted: {answer}")
        self.context.watcher.forget(job.job_id)
        self.context.jobs.remove(job)
        self.tally.counts[f"jobs {job.observed.job.get('status')}"] += 1


class StreamClient(SoakClient):
    """Follows a job's events, breaks off, and goes on from the last event it has."""

    def session(self) -> None:
        """Read the events of one job, in one connection or two."""
        live = [job for job in list(self.context.jobs) if not job.is_over]
        if not live:
            return
        path = f"/v1/jobs/{self.rng.choice(live).job_id}/events"
        max_events = self.rng.choice([1, 5, 1000])
        last = self._read(path, 0, max_events)
        if max_events < 1000:
            self._read(path, last, 1000)

    def _read(self, path: str, last: int, max_events: int) -> int:
        """Read at most so many events after `last`; return the last one's number."""
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(last)}
        with (
            contextlib.suppress(httpx.TransportError),
            self.context.service.client() as http,
            http.stream("GET", path, headers=headers) as response,
        ):
            self.tally.counts[f"streams {response.status_code}"] += 1
            for line in response.iter_lines() if response.status_code == 200 else ():
                if line.startswith("id: "):
                    if int(line[4:]) != last + 1:
                        self.tally.violate("I2", f"{path}: event {line[4:]} came after {last}")
                    last, max_events = int(line[4:]), max_events - 1
                if max_events == 0 or self._stopped.is_set():
                    break
        return last


class DatasetClient(SoakClient):
    """Uploads a dataset, reads it back, now and then trains on it and verifies, and deletes it."""

    def session(self) -> None:
        """Take one dataset through its life."""
        media_type, body = self._draw_body()
        headers = {"Content-Type": media_type}
        content = body
        if self.rng.random() < 0.3:
            content, headers["Content-Encoding"] = gzip.compress(body), "gzip"
        if self.rng.random() < 0.2:
            self._break_off(headers, content)
        accepted = self.request("POST", "/v1/datasets?name=soak", content=content, headers=headers)
        if accepted is None or accepted.status_code not in (200, 201):
            self._expect(accepted, 201, "an upload")
            return
        self.tally.counts["uploads"] += 1
        path = f"/v1/datasets/{accepted.json()['id']}"
        self._expect(self.request("GET", f"{path}/rows?limit=20"), 200, "rows")
        read = self.request("GET", f"{path}/content")
        if read is not None and read.status_code == 200 and read.content != body:
            self.tally.violate("I5", f"{path} came back as other bytes")
        if self.rng.random() < 0.3:
            self._train(accepted.json()["id"])
        self._expect(self.request("DELETE", path), 204, "the deletion of a dataset")

    def _train(self, dataset: str) -> None:
        """Train on a dataset, let the job be verified, and delete both jobs."""
        data = {"source": "dataset", "id": dataset, "target": "y"}
        model = {"family": "mlp", "hidden": [6]}
        body = {"model": model, "data": data, "budget": {"ticks": 200}, "name": "soak-dataset"}
        trained = self._finish(self.request("POST", "/v1/jobs", json=body))
        if trained is None:
            return
        path = f"/v1/jobs/{trained['id']}"
        verified = self._finish(self.request("POST", f"{path}/verify", json={}))
        if trained["status"] != "succeeded":
            self.tally.violate("I1", f"{path} ended {trained['status']}: {trained['error']}")
        if verified is not None and verified["status"] != "succeeded":
            self.tally.violate("I3", f"{path} does not verify: {verified['error']}")
        for job in (verified, trained):
            if job is not None:
                self._expect(self.request("DELETE", f"/v1/jobs/{job['id']}"), 204, "a deletion")
        self.tally.counts["jobs verified"] += 1

    def _finish(self, accepted: httpx.Response | None) -> dict[str, Any] | None:
        """Wait for the end of a job that was accepted, and return it."""
        if accepted is None or accepted.status_code != 202:
            self._expect(accepted, 202, "a submission")
            return None
        path = f"/v1/jobs/{accepted.json()['id']}?wait={WAIT_SECONDS:g}&until=end"
        deadline = time.monotonic() + JOB_SECONDS * load_factor()
        while time.monotonic() < deadline:
            response = self.request("GET", path)
            if response is not None and response.status_code == 200:
                job: dict[str, Any] = response.json()
                if job["status"] in TERMINAL_STATUSES:
                    return job
        self.tally.violate("I1", f"{path} did not end")
        return None

    def _draw_body(self) -> tuple[str, bytes]:
        """Return the media type and the bytes of a new small table."""
        rows = [
            {"a": self.rng.random(), "b": self.rng.randint(0, 9), "y": self.rng.gauss(0, 1)}
            for _ in range(self.rng.randint(30, 2000))
        ]
        if self.rng.random() < 0.5:
            text = "".join(json.dumps(row) + "\n" for row in rows)
            return "application/x-ndjson", text.encode()
        file = io.StringIO()
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        return "text/csv", file.getvalue().encode()

    def _break_off(self, headers: dict[str, str], content: bytes) -> None:
        """Send half an upload and go away."""
        parts = urlsplit(self.context.service.serving.url)
        lines = [
            "POST /v1/datasets?name=half HTTP/1.1", f"Host: {parts.netloc}",
            f"Authorization: Bearer {ADMIN_KEY}", f"Content-Length: {len(content)}",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]  # fmt: skip
        head, address = "\r\n".join(lines).encode() + b"\r\n\r\n", (parts.hostname, parts.port)
        with contextlib.suppress(OSError), socket.create_connection(address) as peer:
            peer.sendall(head + content[: len(content) // 2])
        self.tally.counts["uploads broken off"] += 1

    def _expect(self, response: httpx.Response | None, status: int, what: str) -> None:
        """Note an answer other than the promised one, 503 excepted."""
        if response is not None and response.status_code not in (status, 503):
            answer = f"{response.status_code}: {response.text[:200]}"
            self.tally.violate("I8", f"{what} was answered {answer}")
