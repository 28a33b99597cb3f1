"""A whole service for a measurement: serve.py on a temporary folder, reached over HTTP alone."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

ROOT = Path(__file__).parent.parent
STOP_SECONDS = 20


@dataclass(frozen=True)
class BenchService:
    """A running service: its HTTP client, its process, its data folder."""

    http: httpx.Client
    process: "subprocess.Popen[str]"
    folder: Path

    def submit(self, spec: Mapping[str, Any]) -> str:
        """Submit a spec; return the job's id."""
        response = self.http.post("/v1/jobs", json=spec)
        response.raise_for_status()
        return str(response.json()["id"])

    def job(self, job_id: str) -> dict[str, Any]:
        """Return the Job as it is now."""
        return self.http.get(f"/v1/jobs/{job_id}").json()

    def wait(self, job_id: str) -> dict[str, Any]:
        """Wait until the job has ended; return it."""
        while True:
            job = self.http.get(f"/v1/jobs/{job_id}", params={"wait": 30, "until": "end"}).json()
            if job["finished_at"] is not None:
                return job

    def run(self, spec: Mapping[str, Any]) -> tuple[float, dict[str, Any]]:
        """Train a spec to its budget; return the seconds from POST to `succeeded`, and the job."""
        started = time.perf_counter()
        job = self.wait(self.submit(spec))
        seconds = time.perf_counter() - started
        assert job["status"] == "succeeded" and job["tick"] == job["ticks_total"], job["error"]
        return seconds, job

    def log(self, job_id: str) -> str:
        """Return the log of a job."""
        return (self.folder / "artifacts" / "default" / job_id / "log.txt").read_text()

    def process_of(self, *words: str) -> psutil.Process:
        """Return the process of this service whose command line contains all words."""
        for child in psutil.Process(self.process.pid).children(recursive=True):
            line = " ".join(child.cmdline())
            if all(word in line for word in words):
                return child
        raise LookupError(f"no process with {words}")


def compared_builds() -> dict[str, Path]:
    """Return the work trees to measure in turn: this one, and BENCH_BEFORE's where it is set."""
    before = os.environ.get("BENCH_BEFORE")
    return {"this build": ROOT} | ({"before": Path(before)} if before else {})


@contextmanager
def running_service(
    workers: int = 1, tree: Path = ROOT, **environment: str
) -> Iterator[BenchService]:
    """Run the service of a work tree; stop it in order at the end."""
    with started_service(workers, tree, **environment) as service:
        try:
            yield service
        finally:
            service.process.send_signal(signal.SIGTERM)
            service.process.wait(STOP_SECONDS)


@contextmanager
def started_service(
    workers: int = 1, tree: Path = ROOT, *, timeout: float = 60, **environment: str
) -> Iterator[BenchService]:
    """Run the service of a work tree, whom the caller stops; what is left at the end is killed.

    `timeout`: of each request, in seconds.
    """
    with tempfile.TemporaryDirectory(prefix="tickforge-bench-") as folder:
        env = {**os.environ, "XDG_CONFIG_HOME": folder, "PYTHONPATH": str(tree), **environment}
        process = subprocess.Popen(
            [sys.executable, "serve.py", "--port", "0", "--data", f"{folder}/data",
             "--workers", str(workers)],
            cwd=tree, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            url = process.stdout.readline().split()[-1]
            key = (Path(folder) / "data" / "admin.key").read_text().strip()
            headers = {"Authorization": f"Bearer {key}"}
            with httpx.Client(base_url=url, headers=headers, timeout=timeout) as http:
                yield BenchService(http, process, Path(folder) / "data")
        finally:
            process.kill()
            process.wait()
