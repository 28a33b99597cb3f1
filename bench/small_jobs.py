"""Many tiny jobs through HTTP on one worker: jobs per minute, and the time of each phase."""

import re
import time
from datetime import datetime
from itertools import pairwise
from typing import Any

from bench.first_tick import SPEC
from bench.report import Figure
from bench.service import BenchService, running_service

#: a step -> how its first and its last moment are found in a job's log
STEPS = {
    "claimed to built": (r"attempt 1 by", r"built \d+ parameters"),
    "built to the checkpoint saved": (r"built \d+ parameters", r"saved checkpoint"),
    "saved to handed back": (r"saved checkpoint", r"succeeded at tick"),
}


def measure(_rounds: int, *, jobs: int = 1_000) -> list[Figure]:
    """Submit all jobs, wait until the last has ended, and read the times of each."""
    with running_service(TICKFORGE_RATE_LIMIT="0") as service:
        service.wait(service.submit(SPEC))  # the worker's first job pays for its canary
        started = time.perf_counter()
        ids = [service.submit(SPEC) for _ in range(jobs)]
        submitted = time.perf_counter() - started
        while any(service.job(job)["finished_at"] is None for job in ids[-3:]):
            time.sleep(0.1)
        ended = [service.wait(job) for job in ids]
        seconds = time.perf_counter() - started
        assert all(job["status"] == "succeeded" for job in ended)
        steps = _step_durations(service, ids)
    return [
        Figure(f"{jobs:,} jobs of 200 ticks, one worker", "jobs/min", [60 * jobs / seconds]),
        Figure("a submission meanwhile, by one client", "ms", [1000 * submitted / jobs]),
        *(Figure(f"  of each job: {name}", "ms", values) for name, values in steps.items()),
        Figure("  of each job: all of it", "ms", [1000 * seconds / jobs]),
    ]


def _step_durations(service: BenchService, ids: list[str]) -> dict[str, list[float]]:
    durations: dict[str, list[float]] = {name: [] for name in STEPS}
    between: list[float] = []
    logs = [service.log(job_id) for job_id in ids]
    for log in logs:
        for name, (first, last) in STEPS.items():
            durations[name].append(1000 * (_timestamp(log, last) - _timestamp(log, first)))
    for log, next_log in pairwise(logs):
        seconds = _timestamp(next_log, r"attempt 1 by") - _timestamp(log, r"succeeded at tick")
        between.append(1000 * seconds)
    return {**durations, "handed back, sealed, to the next one claimed": between}


def _timestamp(log: str, pattern: str) -> float:
    match: Any = re.search(rf"^(\S+) {pattern}", log, re.MULTILINE)
    return datetime.fromisoformat(match[1]).timestamp()
