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
DRAIN = "worker told to leave"  # by SIGTERM: it saves, gives the job back and is started again


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
    return [*killed, Figure(f"{DRAIN} to next new tick", "s", found[DRAIN])]


def _recovery(service: Service, job_id: str, cause: str) -> float:
    pid = _victim(service, cause)
    tick = service.job(job_id)["tick"]
    attempt = service.job(job_id)["attempt"]
    os.kill(pid, signal.SIGTERM if cause == DRAIN else signal.SIGKILL)
    began = time.perf_counter()
    if cause == DRAIN:  # the leaving worker's last ticks are no recovery
        while (job := service.job(job_id))["attempt"] == attempt:
            time.sleep(0.01)
        tick = job["tick"]
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
    template = service.process_of("ticks.template")
    if cause == "template":
        return template.pid
    if cause == "trainer":
        return int(template.children()[0].pid)
    if cause == "pool child":
        return next(int(c.pid) for c in worker.children() if "workers" in c.cmdline())
    return int(service.process_of("store.sock").pid) if cause == "store" else int(worker.pid)
