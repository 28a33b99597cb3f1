"""Costs that grow with the number of ticks, of jobs and of parameters, and costs that do not."""

import gc
import time
from collections.abc import Callable
from typing import Any

import torch

from bench.article_loop import SEED_SPEC
from bench.lists import SPEC, TENANT, submit_jobs
from bench.report import Figure
from bench.service import BenchService, running_service
from bench.store_server import running_store, silence_logs
from jobs.queries.jobs import JobQueries
from jobs.spec.reading import read_spec
from ticks import machine
from ticks.training import TrainingRun

TICKS = (10**3, 10**4, 10**5, 10**6, 10**7, 10**8)
JOBS = (10**2, 10**3, 10**4, 10**5)
#: width of three hidden layers -> about so many parameters
PARAMETERS = {16: "10^3", 64: "10^4", 220: "10^5", 704: "10^6", 2_232: "10^7", 7_064: "10^8"}
SAMPLES = 20


def measure(rounds: int) -> list[Figure]:
    """Measure all three, up to their largest sizes."""
    return _measure(rounds, len(TICKS), len(JOBS), len(PARAMETERS))


def measure_quick(rounds: int) -> list[Figure]:
    """Measure all three without their two largest sizes."""
    return _measure(rounds, len(TICKS) - 2, len(JOBS) - 2, len(PARAMETERS) - 2)


def _measure(rounds: int, ticks: int, jobs: int, parameters: int) -> list[Figure]:
    silence_logs()
    return [
        *_by_ticks(TICKS[:ticks]),
        *_by_jobs(JOBS[:jobs]),
        *_by_parameters(list(PARAMETERS.items())[:parameters], rounds),
    ]


def _by_ticks(sizes: tuple[int, ...]) -> list[Figure]:
    """Run one job of each length through one service, then read it."""
    figures = []
    with running_service() as service:
        service.wait(
            service.submit(_make_spec(1_000))
        )  # the worker's first job pays for its canary
        for size in sizes:
            started = time.perf_counter()
            job = service.wait(service.submit(_make_spec(size)))
            seconds = time.perf_counter() - started
            assert job["status"] == "succeeded" and job["tick"] == size, job["error"]
            memory = service.process_of("--maxmemory-policy").memory_info().rss / 2**20
            figures += [
                Figure(f"{size:,} ticks: POST to succeeded", "s", [seconds]),
                Figure(f"{size:,} ticks: its status", "ms", _time_reads(service, job, "")),
                Figure(
                    f"{size:,} ticks: a view of 1,000 points",
                    "ms",
                    _time_reads(service, job, VIEW_PATH),
                ),
                Figure(f"{size:,} ticks: memory of the store afterwards", "MiB", [memory]),
            ]
    return figures


VIEW_PATH = "/history?points=1000"


def _make_spec(ticks: int) -> dict[str, Any]:
    return {**SEED_SPEC, "budget": {"ticks": ticks}, "compute": {"engine": "native"}}


def _time_reads(service: BenchService, job: dict[str, Any], path: str) -> list[float]:
    return _time_repeatedly(
        lambda: service.http.get(f"/v1/jobs/{job['id']}{path}").raise_for_status()
    )


def _by_jobs(sizes: tuple[int, ...]) -> list[Figure]:
    """Fill one store with more and more jobs."""
    figures, job_count = [], 0
    with running_store() as store:
        index = JobQueries(store.client)
        for size in sizes:
            started = time.perf_counter()
            submit_jobs(store.client, size - job_count)
            ms_per_job = 1000 * (time.perf_counter() - started) / (size - job_count)
            job_count = size
            kib_per_job = int(store.client.info("memory")["used_memory"]) / size / 1024
            page = _time_repeatedly(lambda: index.list_jobs(TENANT, filters=[], limit=100))
            figures += [
                Figure(f"{size:,} jobs: one more (no fsync)", "ms", [ms_per_job]),
                Figure(f"{size:,} jobs: a page of the newest 100", "ms", page),
                Figure(f"{size:,} jobs: memory of the store, a job", "KiB", [kib_per_job]),
            ]
    return figures


def _by_parameters(sizes: list[tuple[int, str]], rounds: int) -> list[Figure]:
    """Time eager ticks of larger and larger nets in process, at batch size 1."""
    machine.configure_torch(1)
    figures = []
    for width, label in sizes:
        body = {**SPEC, "model": {"family": "mlp", "hidden": [width] * 3}, "batch_size": 1}
        body |= {"optimizer": {"name": "sgd"}, "budget": {"ticks": 10**6}}
        started = time.perf_counter()
        spec = read_spec(body, max_parameters=10**9)
        training = TrainingRun(spec, torch.device("cpu"), engine="eager")
        training.run(2)
        built = time.perf_counter() - started
        ticks = max(3, min(500, 10**8 // spec.parameters))
        rates = [ticks / _time_call(lambda t=training, n=ticks: t.run(n)) for _ in range(rounds)]
        figures += [
            Figure(f"{label} parameters: from nothing to 2 ticks", "s", [built]),
            Figure(f"{label} parameters ({spec.parameters:,}): eager", "ticks/s", rates),
        ]
        del training
        gc.collect()
    return figures


def _time_repeatedly(operation: Callable[[], object]) -> list[float]:
    return [1000 * _time_call(operation) for _ in range(SAMPLES)]


def _time_call(operation: Callable[[], object]) -> float:
    started = time.perf_counter()
    operation()
    return time.perf_counter() - started
