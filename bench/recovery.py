"""Seconds from a kill or a drain to the next new tick, by cause, with the default lease."""

import os
import signal
import time
from functools import partial
from typing import Any

from bench.report import Figure
from bench.service import BenchService, running_service
from bench.timing import measure_in_turn

SPEC: dict[str, Any] = {
    "model": {"family": "mlp", "hidden": [64, 64], "dropout": 0.1},
    "data": {"source": "example", "name": "digits"},
    "budget": {"ticks": 1_000_000},
    "checkpoint": {"every_seconds": 1},
    "compute": {"engine": "eager"},
}
KILL_TARGETS = ("trainer", "pool child", "template", "worker", "store")
#: by SIGTERM: it saves, releases the job, starts again
DRAIN_CAUSE = "the only worker told to leave"
RESTART_SECONDS = 60.0  # for a worker that was told to leave to be there again


def measure(rounds: int) -> list[Figure]:
    """Kill each part of a running service in turn while a job trains, and drain its worker."""
    with running_service() as service:
        job_id = service.submit(SPEC)
        causes = (*KILL_TARGETS, DRAIN_CAUSE)
        timers = {cause: partial(_time_recovery, service, job_id, cause) for cause in causes}
        seconds = measure_in_turn(timers, rounds)
        service.http.post(f"/v1/jobs/{job_id}/cancel")
    return [
        *(Figure(f"{name} killed to next new tick", "s", seconds[name]) for name in KILL_TARGETS),
        Figure(f"{DRAIN_CAUSE} to next new tick", "s", seconds[DRAIN_CAUSE]),
        Figure("one of two workers told to leave to next new tick", "s", _drain_to_another(rounds)),
    ]


def _drain_to_another(rounds: int) -> list[float]:
    """Drain the worker that has the job, while another is idle."""
    seconds, drained_pids = [], set[int]()
    with running_service(workers=2) as service:
        job_id = service.submit(SPEC)
        for _ in range(rounds):
            _await_tick(service, job_id, 300)
            _await_two_workers(service, drained_pids)
            pid = service.process_of("workers", service.job(job_id)["worker"]).pid
            drained_pids.add(pid)
            seconds.append(_drain_worker(service, job_id, pid))
        service.http.post(f"/v1/jobs/{job_id}/cancel")
    return seconds


def _await_two_workers(service: BenchService, drained_pids: set[int]) -> None:
    """Wait until two workers take jobs (both have a canary), and neither is one that left."""
    deadline = time.perf_counter() + RESTART_SECONDS
    while True:
        data = service.http.get("/v1/workers").json()["data"]
        ready = [w for w in data if w["fingerprint"]["canary"] and w["pid"] not in drained_pids]
        if len(ready) == 2:
            return
        assert time.perf_counter() < deadline, "a worker did not come back"
        time.sleep(0.1)


def _drain_worker(service: BenchService, job_id: str, pid: int) -> float:
    """Return the seconds from SIGTERM to the first tick of the next attempt."""
    attempt = service.job(job_id)["attempt"]
    os.kill(pid, signal.SIGTERM)
    started = time.perf_counter()
    while (job := service.job(job_id))["attempt"] == attempt:
        time.sleep(0.01)
    _await_tick(service, job_id, 1, job["tick"])
    return time.perf_counter() - started


def _time_recovery(service: BenchService, job_id: str, cause: str) -> float:
    _await_tick(service, job_id, 300)
    pid = _find_pid(service, cause)
    if cause == DRAIN_CAUSE:
        return _drain_worker(service, job_id, pid)
    tick = service.job(job_id)["tick"]
    os.kill(pid, signal.SIGKILL)
    started = time.perf_counter()
    _await_tick(service, job_id, 1, tick)
    return time.perf_counter() - started


def _await_tick(service: BenchService, job_id: str, more: int, since: int | None = None) -> None:
    """Wait until `more` ticks beyond `since` (or beyond now) are accepted."""
    while True:
        response = service.http.get(f"/v1/jobs/{job_id}")
        if response.status_code == 200:
            tick = response.json()["tick"]
            since = tick if since is None else since
            if tick >= since + more:
                return
        time.sleep(0.01)


def _find_pid(service: BenchService, cause: str) -> int:
    worker = service.process_of("workers")
    template = service.process_of("ticks.process.forkserver")
    if cause == "template":
        return template.pid
    if cause == "trainer":
        return int(template.children()[0].pid)
    if cause == "pool child":
        return next(int(c.pid) for c in worker.children() if "workers" in c.cmdline())
    return int(service.process_of("store.sock").pid) if cause == "store" else int(worker.pid)
