"""Reads of a job's status while a native job writes all the ticks it can, and while all is idle."""

import time

from bench.article import SEED
from bench.report import Figure
from bench.service import Service, running

PAUSE = 0.02  # seconds between two reads
READS = 50  # a round
ENDLESS = 1_000_000_000


def measure(rounds: int) -> list[Figure]:
    """Read an ended job's status while the worker is idle, then a flooding one's."""
    with running() as service:
        idle = service.submit(SEED)
        service.wait(idle)
        quiet = [_read(service, idle) for _ in range(rounds * READS)]
        body = {**SEED, "budget": {"ticks": ENDLESS}, "compute": {"engine": "native"}}
        flood = service.submit(body)
        while service.job(flood)["tick"] == 0:
            time.sleep(PAUSE)
        began, first = time.perf_counter(), service.job(flood)["tick"]
        busy = [_read(service, flood) for _ in range(rounds * READS)]
        seconds, last = time.perf_counter() - began, service.job(flood)["tick"]
        service.http.post(f"/v1/jobs/{flood}/cancel")
        service.wait(flood)
    return [
        Figure("status read, nothing runs: median", "ms", [_at(quiet, 0.5)]),
        Figure("status read, nothing runs: p99", "ms", [_at(quiet, 0.99)]),
        Figure("status read, a native job floods: median", "ms", [_at(busy, 0.5)]),
        Figure("status read, a native job floods: p99", "ms", [_at(busy, 0.99)]),
        Figure("ticks recorded meanwhile", "ticks/s", [(last - first) / seconds]),
    ]


def _read(service: Service, job_id: str) -> float:
    time.sleep(PAUSE)
    began = time.perf_counter()
    service.job(job_id)
    return 1000 * (time.perf_counter() - began)


def _at(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]
