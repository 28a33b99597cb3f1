"""Reads of a job's status while a native job writes ticks at full speed, and while all is idle."""

import time

from bench.article_loop import SEED_SPEC
from bench.report import Figure
from bench.service import BenchService, running_service

POLL_SECONDS = 0.02  # seconds between two reads
READS_PER_ROUND = 50  # a round
ENDLESS_TICKS = 1_000_000_000


def measure(rounds: int) -> list[Figure]:
    """Read an ended job's status while the worker is idle, then that of a busy job."""
    with running_service() as service:
        idle = service.submit(SEED_SPEC)
        service.wait(idle)
        idle_times = [_time_read(service, idle) for _ in range(rounds * READS_PER_ROUND)]
        body = {**SEED_SPEC, "budget": {"ticks": ENDLESS_TICKS}, "compute": {"engine": "native"}}
        flood = service.submit(body)
        while service.job(flood)["tick"] == 0:
            time.sleep(POLL_SECONDS)
        started, first_tick = time.perf_counter(), service.job(flood)["tick"]
        busy_times = [_time_read(service, flood) for _ in range(rounds * READS_PER_ROUND)]
        seconds, last_tick = time.perf_counter() - started, service.job(flood)["tick"]
        service.http.post(f"/v1/jobs/{flood}/cancel")
        service.wait(flood)
    return [
        Figure("status read, nothing runs: median", "ms", [_quantile(idle_times, 0.5)]),
        Figure("status read, nothing runs: p99", "ms", [_quantile(idle_times, 0.99)]),
        Figure("status read, a native job floods: median", "ms", [_quantile(busy_times, 0.5)]),
        Figure("status read, a native job floods: p99", "ms", [_quantile(busy_times, 0.99)]),
        Figure("ticks recorded meanwhile", "ticks/s", [(last_tick - first_tick) / seconds]),
    ]


def _time_read(service: BenchService, job_id: str) -> float:
    time.sleep(POLL_SECONDS)
    started = time.perf_counter()
    service.job(job_id)
    return 1000 * (time.perf_counter() - started)


def _quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]
