"""What grows with the number of ticks, of jobs and of parameters, and what does not."""

import gc
import time
from collections.abc import Callable
from typing import Any

import torch

from bench.article import SEED
from bench.lists import SPEC, TENANT, fill
from bench.report import Figure
from bench.service import Service, running
from bench.stores import quiet, running_store
from jobs.queries.jobs import JobQueries
from jobs.spec.job_spec import read_spec
from ticks import machine
from ticks.training import TrainingRun

TICKS = (10**3, 10**4, 10**5, 10**6, 10**7, 10**8)
JOBS = (10**2, 10**3, 10**4, 10**5)
#: width of three hidden layers -> about so many parameters
PARAMETERS = {16: "10^3", 64: "10^4", 220: "10^5", 704: "10^6", 2_232: "10^7", 7_064: "10^8"}
LOOKS = 20


def measure(rounds: int) -> list[Figure]:
    """Measure all three, up to their largest sizes."""
    return _measure(rounds, len(TICKS), len(JOBS), len(PARAMETERS))


def measure_quick(rounds: int) -> list[Figure]:
    """The same without the two largest sizes of each."""
    return _measure(rounds, len(TICKS) - 2, len(JOBS) - 2, len(PARAMETERS) - 2)


def _measure(rounds: int, ticks: int, jobs: int, parameters: int) -> list[Figure]:
    quiet()
    return [
        *_by_ticks(TICKS[:ticks]),
        *_by_jobs(JOBS[:jobs]),
        *_by_parameters(list(PARAMETERS.items())[:parameters], rounds),
    ]


def _by_ticks(sizes: tuple[int, ...]) -> list[Figure]:
    """One job of each length through one service, then reads of it."""
    figures = []
    with running() as service:
        service.wait(service.submit(_spec(1_000)))  # the worker's first job pays for its canary
        for size in sizes:
            began = time.perf_counter()
            job = service.wait(service.submit(_spec(size)))
            seconds = time.perf_counter() - began
            assert job["status"] == "succeeded" and job["tick"] == size, job["error"]
            memory = service.process_of("--maxmemory-policy").memory_info().rss / 2**20
            figures += [
                Figure(f"{size:,} ticks: POST to succeeded", "s", [seconds]),
                Figure(f"{size:,} ticks: its status", "ms", _reads(service, job, "")),
                Figure(f"{size:,} ticks: a view of 1,000 points", "ms", _reads(service, job, VIEW)),
                Figure(f"{size:,} ticks: memory of the store afterwards", "MiB", [memory]),
            ]
    return figures


VIEW = "/history?points=1000"


def _spec(ticks: int) -> dict[str, Any]:
    return {**SEED, "budget": {"ticks": ticks}, "compute": {"engine": "native"}}


def _reads(service: Service, job: dict[str, Any], what: str) -> list[float]:
    return _times(lambda: service.http.get(f"/v1/jobs/{job['id']}{what}").raise_for_status())


def _by_jobs(sizes: tuple[int, ...]) -> list[Figure]:
    """Jobs in one store, ever more of them."""
    figures, there = [], 0
    with running_store() as store:
        index = JobQueries(store.client)
        for size in sizes:
            began = time.perf_counter()
            fill(store.client, size - there)
            each = 1000 * (time.perf_counter() - began) / (size - there)
            there = size
            used = int(store.client.info("memory")["used_memory"]) / size / 1024
            page = _times(lambda: index.list_jobs(TENANT, filters=[], limit=100))
            figures += [
                Figure(f"{size:,} jobs: one more (no fsync)", "ms", [each]),
                Figure(f"{size:,} jobs: a page of the newest 100", "ms", page),
                Figure(f"{size:,} jobs: memory of the store, a job", "KiB", [used]),
            ]
    return figures


def _by_parameters(sizes: list[tuple[int, str]], rounds: int) -> list[Figure]:
    """Eager ticks of ever larger nets, in process: batch 1, so that it is the parameters' share."""
    machine.configure_torch(1)
    figures = []
    for width, named in sizes:
        body = {**SPEC, "model": {"family": "mlp", "hidden": [width] * 3}, "batch_size": 1}
        body |= {"optimizer": {"name": "sgd"}, "budget": {"ticks": 10**6}}
        began = time.perf_counter()
        spec = read_spec(body, max_parameters=10**9)
        training = TrainingRun(spec, torch.device("cpu"), engine="eager")
        training.run(2)
        built = time.perf_counter() - began
        ticks = max(3, min(500, 10**8 // spec.parameters))
        rates = [ticks / _seconds(lambda t=training, n=ticks: t.run(n)) for _ in range(rounds)]
        figures += [
            Figure(f"{named} parameters: from nothing to 2 ticks", "s", [built]),
            Figure(f"{named} parameters ({spec.parameters:,}): eager", "ticks/s", rates),
        ]
        del training
        gc.collect()
    return figures


def _times(work: Callable[[], object]) -> list[float]:
    return [1000 * _seconds(work) for _ in range(LOOKS)]


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
