"""Whole services and workers as processes of a test, and jobs over HTTP as a client sees them."""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from faults.processes import (
    LEASE_SECONDS,
    MarkedProcesses,
    ServiceProcess,
    running_service,
    send_signal,
)
from tests.support import ROOT, wait_until
from workers.forkserver_client import ForkServerProcess

HELD_SECONDS = 5  # that an answer waits for news: less than the client's patience

__all__ = [
    "LEASE_SECONDS",
    "MarkedProcesses",
    "ServiceProcess",
    "send_signal",
    "running_service",
]  # beside what is made here


@contextmanager
def running_fork_server() -> Iterator[ForkServerProcess]:
    """Run a fork server whose socket's path is longer than an address may be."""
    with tempfile.TemporaryDirectory(prefix="l" * 150) as folder:
        fork_server = ForkServerProcess(Path(folder) / "t.sock")
        fork_server.start()
        try:
            yield fork_server
        finally:
            fork_server.stop()


class JobClient:
    """Jobs over HTTP, as a client sees them."""

    def __init__(self, service: ServiceProcess) -> None:
        self._service = service

    def submit(self, spec: dict[str, Any]) -> str:
        with self._service.http as http:
            response = http.post("/v1/jobs", json=spec)
        assert response.status_code == 202, response.text
        return str(response.json()["id"])

    def get(self, job_id: str) -> dict[str, Any]:
        with self._service.http as http:
            job: dict[str, Any] = http.get(f"/v1/jobs/{job_id}").raise_for_status().json()
        return job

    def running_jobs(self) -> list[dict[str, Any]]:
        with self._service.http as http:
            page = http.get("/v1/jobs?status=running").raise_for_status().json()
        return list(page["data"])

    def attempts(self, job_id: str) -> list[dict[str, Any]]:
        with self._service.http as http:
            page = http.get(f"/v1/jobs/{job_id}/attempts").raise_for_status().json()
        return list(page["data"])

    def request(self, job_id: str, verb: str) -> None:
        with self._service.http as http:
            http.post(f"/v1/jobs/{job_id}/{verb}").raise_for_status()

    def wait_for(
        self, job_id: str, condition: Callable[[dict[str, Any]], bool], seconds: float = 30
    ) -> dict[str, Any]:
        """Read the job until a condition on it holds; the API may be unavailable for a while.

        Each answer is held until there is news: to ask fifty times a second would take as much of
        the processor as the job does.
        """
        return self._wait(job_id, condition, seconds, "")

    def wait_for_end(self, job_id: str, seconds: float = 30) -> dict[str, Any]:
        return self._wait(job_id, lambda job: job["finished_at"] is not None, seconds, "&until=end")

    def wait_for_tick(self, job_id: str, tick: int) -> dict[str, Any]:
        return self._wait(job_id, lambda job: job["tick"] >= tick, 30, f"&until=tick:{tick}")

    def _wait(
        self, job_id: str, condition: Callable[[dict[str, Any]], bool], seconds: float, until: str
    ) -> dict[str, Any]:
        etag = ""

        def job_if() -> dict[str, Any] | None:
            nonlocal etag
            headers = {"If-None-Match": etag} if etag else {}
            wait = f"?wait={HELD_SECONDS}{until}" if etag or until else ""
            try:
                with self._service.http as http:
                    answer = http.get(f"/v1/jobs/{job_id}{wait}", headers=headers)
                    if answer.status_code == 304:
                        return None
                    job: dict[str, Any] = answer.raise_for_status().json()
            except httpx.HTTPError:
                return None
            etag = answer.headers["ETag"]
            return job if condition(job) else None

        result: dict[str, Any] = wait_until(job_if, seconds, f"what is expected of {job_id}")
        return result

    def result_bits(self, job_id: str) -> dict[str, Any]:
        """Return all that must be equal in two runs of one spec: history, states, final weights."""
        with self._service.http as http:
            binary = {"Accept": "application/octet-stream"}
            loss = http.get(f"/v1/jobs/{job_id}/history", headers=binary).raise_for_status().content
            sparse = http.get(f"/v1/jobs/{job_id}/history?columns=val_loss").raise_for_status()
            final = http.get(f"/v1/jobs/{job_id}/checkpoints/final").raise_for_status().json()
        return {"loss": loss, "val_loss": sparse.json()["val_loss"], "weights": final["sha256"]}


class WorkerProcess:
    """A `python -m workers` of a test."""

    def __init__(self, url: str, data: Path, name: str, **env: str) -> None:
        self.name, self.processes = name, MarkedProcesses()
        settings = {"TICKFORGE_REDIS_URL": url, "TICKFORGE_DATA_DIR": str(data)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "workers", "--name", name],
            cwd=ROOT,
            env=self.processes.make_environment(data, **settings, **env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )

    def stop(self) -> int:
        """Send SIGTERM; return the exit code."""
        self.process.terminate()
        return self.process.wait(15)

    def end(self) -> None:
        """Kill whatever is left of it."""
        self.processes.kill_all()
        self.process.wait()
