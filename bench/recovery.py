"""Seconds from a kill or a drain to the next new tick, by its cause, with the default lease."""

import os
import signal
import time
from typing import Any

from bench.report import Figure
from bench.service import Service, running

SPEC: dict[str, Any] = {
    "model": {"family": "mlp", "hidden": [64, 64], "dropout": 0.1},
    "data": {"source": "example", "name": "digits"},
    "budget": {"ticks": 1_000_000},
    "checkpoint": {"every_seconds": 1},
    "compute": {"engine": "eager"},
}
KILLED = ("trainer", "pool child", "template", "worker", "store")
DRAIN = "the only worker told to leave"  # by SIGTERM: it saves, gives the job back, starts again
LIVE_SECONDS = 60.0  # for a worker that was told to leave to be there again


def measure(rounds: int) -> list[Figure]:
    """Kill each part of a running service in turn while a job trains, and drain its worker."""
    found: dict[str, list[float]] = {cause: [] for cause in (*KILLED, DRAIN)}
    with running() as service:
        job_id = service.submit(SPEC)
        for _ in range(rounds):
            for cause in found:
                _await_tick(service, job_id, 300)
                found[cause].append(_recovery(service, job_id, cause))
        service.http.post(f"/v1/jobs/{job_id}/cancel")
    killed = [Figure(f"{cause} killed to next new tick", "s", found[cause]) for cause in KILLED]
    return [
        *killed,
        Figure(f"{DRAIN} to next new tick", "s", found[DRAIN]),
        Figure("one of two workers told to leave to next new tick", "s", _to_another(rounds)),
    ]


def _to_another(rounds: int) -> list[float]:
    """Drain the worker that has the job, while another is idle."""
    found, left = [], set[int]()
    with running(workers=2) as service:
        job_id = service.submit(SPEC)
        for _ in range(rounds):
            _await_tick(service, job_id, 300)
            _await_two(service, left)
            pid = service.process_of("workers", service.job(job_id)["worker"]).pid
            left.add(pid)
            found.append(_drained(service, job_id, pid))
        service.http.post(f"/v1/jobs/{job_id}/cancel")
    return found


def _await_two(service: Service, left: set[int]) -> None:
    """Wait until two workers take jobs, for they have a canary, and neither is one that left."""
    deadline = time.perf_counter() + LIVE_SECONDS
    while True:
        data = service.http.get("/v1/workers").json()["data"]
        if sum(bool(w["fingerprint"]["canary"]) and w["pid"] not in left for w in data) == 2:
            return
        assert time.perf_counter() < deadline, "a worker did not come back"
        time.sleep(0.1)


def _drained(service: Service, job_id: str, pid: int) -> float:
    """Seconds from a SIGTERM to the first tick of the next attempt: the leaving one's are none."""
    attempt = service.job(job_id)["attempt"]
    os.kill(pid, signal.SIGTERM)
    began = time.perf_counter()
    while (job := service.job(job_id))["attempt"] == attempt:
        time.sleep(0.01)
    _await_tick(service, job_id, 1, job["tick"])
    return time.perf_counter() - began


def _recovery(service: Service, job_id: str, cause: str) -> float:
    pid = _victim(service, cause)
    if cause == DRAIN:
        return _drained(service, job_id, pid)
    tick = service.job(job_id)["tick"]
    os.kill(pid, signal.SIGKILL)
    began = time.perf_counter()
    _await_tick(service, job_id, 1, tick)
    return time.perf_counter() - began


def _await_tick(service: Service, job_id: str, more: int, since: int | None = None) -> None:
    """Wait until `more` ticks beyond `since` (or beyond now) are accepted."""
    while True:
        answer = service.http.get(f"/v1/jobs/{job_id}")
        tick = answer.json().get("tick", -1) if answer.status_code == 200 else -1
        since = tick if since is None and tick >= 0 else since
        if since is not None and tick >= since + more:
            return
        time.sleep(0.01)


def _victim(service: Service, cause: str) -> int:
    worker = service.process_of("workers")
    template = service.process_of("ticks.process.forkserver")
    if cause == "template":
        return template.pid
    if cause == "trainer":
        return int(template.children()[0].pid)
    if cause == "pool child":
        return next(int(c.pid) for c in worker.children() if "workers" in c.cmdline())
    return int(service.process_of("store.sock").pid) if cause == "store" else int(worker.pid)
