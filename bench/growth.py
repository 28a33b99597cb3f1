"""Costs that grow with the number of ticks, of jobs and of parameters, and costs that do not."""

import gc
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from bench.article_loop import SEED_SPEC
from bench.lists import SPEC, TENANT, submit_jobs
from bench.report import Figure
from bench.service import BenchService, running_service
from bench.store_server import running_store, silence_logs
from bench.timing import time_call
from jobs.queries.jobs import JobQueries
from jobs.spec.reading import read_spec
from ticks import machine
from ticks.training import TrainingRun

TICKS = (10**3, 10**4, 10**5, 10**6, 10**7, 10**8)
JOBS = (10**2, 10**3, 10**4, 10**5)
#: width of three hidden layers -> about so many parameters
PARAMETERS = {16: "10^3", 64: "10^4", 220: "10^5", 704: "10^6", 2_232: "10^7", 7_064: "10^8"}
SAMPLES = 20


def measure(rounds: int, *, skipped_sizes: int = 0) -> list[Figure]:
    """Measure all three; leave out the `skipped_sizes` largest sizes of each."""
    silence_logs()
    parameters = list(PARAMETERS.items())
    return [
        *_by_ticks(TICKS[: len(TICKS) - skipped_sizes]),
        *_by_jobs(JOBS[: len(JOBS) - skipped_sizes]),
        *_by_parameters(parameters[: len(parameters) - skipped_sizes], rounds),
    ]


def _by_ticks(sizes: tuple[int, ...]) -> list[Figure]:
    """Run one job of each length through one service, then read it."""
    figures = []
    with running_service() as service:
        service.run(make_spec(1_000))  # the worker's first job pays for its canary
        for size in sizes:
            seconds, job = service.run(make_spec(size))
            memory = service.process_of("--maxmemory-policy").memory_info().rss / 2**20
            statuses = _time_reads(service, f"/v1/jobs/{job['id']}")
            views = _time_reads(service, f"/v1/jobs/{job['id']}/history?points=1000")
            figures += [
                Figure(f"{size:,} ticks: POST to succeeded", "s", [seconds]),
                Figure(f"{size:,} ticks: its status", "ms", statuses),
                Figure(f"{size:,} ticks: a view of 1,000 points", "ms", views),
                Figure(f"{size:,} ticks: memory of the store afterwards", "MiB", [memory]),
            ]
    return figures


def make_spec(ticks: int) -> dict[str, Any]:
    """Return a job of the seed's net by the native engine."""
    return {**SEED_SPEC, "budget": {"ticks": ticks}, "compute": {"engine": "native"}}


def _time_reads(service: BenchService, path: str) -> list[float]:
    return time_repeatedly(lambda: service.http.get(path).raise_for_status())


def _by_jobs(sizes: tuple[int, ...]) -> list[Figure]:
    """Fill one store with more and more jobs."""
    figures, job_count = [], 0
    with running_store() as store:
        index = JobQueries(store.client)
        for size in sizes:
            new_jobs, job_count = size - job_count, size
            ms_per_job = 1000 * time_call(partial(submit_jobs, store.client, new_jobs)) / new_jobs
            kib_per_job = int(store.client.info("memory")["used_memory"]) / size / 1024
            page = time_repeatedly(lambda: index.list_jobs(TENANT, filters=[], limit=100))
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
        rates = [ticks / time_call(partial(training.run, ticks)) for _ in range(rounds)]
        figures += [
            Figure(f"{label} parameters: from nothing to 2 ticks", "s", [built]),
            Figure(f"{label} parameters ({spec.parameters:,}): eager", "ticks/s", rates),
        ]
        del training
        gc.collect()
    return figures


def time_repeatedly(operation: Callable[[], object]) -> list[float]:
    """Return the milliseconds of some calls."""
    return [1000 * time_call(operation) for _ in range(SAMPLES)]
