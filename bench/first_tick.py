"""Seconds from POST to the first recorded tick on a warm worker, by phase."""

import re
import time
from datetime import datetime
from typing import Any

from bench.report import Figure
from bench.service import BenchService, running_service

SPEC: dict[str, Any] = {
    "model": {"family": "mlp", "hidden": [50]},
    "data": {"source": "synthetic", "kind": "regression", "samples": 100, "features": 10},
    "budget": {"ticks": 200},
    "batch_size": 1,
}

FIRST_TICK = "POST to first tick seen by a poller"


def measure(rounds: int) -> list[Figure]:
    """Submit jobs one after another, each to an idle worker."""
    steps: dict[str, list[float]] = {}
    with running_service() as service:
        time_job(service)  # the worker's first job pays for its canary
        for _ in range(rounds):
            for name, seconds in time_job(service).items():
                steps.setdefault(name, []).append(1000 * seconds)
    return [Figure(name, "ms", values) for name, values in steps.items()]


def time_job(service: BenchService) -> dict[str, float]:
    """Train a job on an idle worker; return the seconds of its phases by name."""
    posted = time.perf_counter()
    job_id = service.submit(SPEC)
    answered = time.perf_counter()
    while service.job(job_id)["tick"] == 0:
        time.sleep(0.002)
    first_seen = time.perf_counter()
    job = service.wait(job_id)
    completed = time.perf_counter()
    created, started = _timestamp(job["created_at"]), _timestamp(job["started_at"])
    built = _timestamp(re.search(r"(\S+) built", service.log(job_id))[1])  # type: ignore[index]
    return {
        FIRST_TICK: first_seen - posted,
        "  of it: POST to its answer": answered - posted,
        "  of it: record stored to claimed": started - created,
        "  of it: claimed to built": built - started,
        "POST to succeeded, 200 ticks": completed - posted,
    }


def _timestamp(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
