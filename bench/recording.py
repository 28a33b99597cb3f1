"""The cost of recording every tick: a service's steady rate against the same engine in process.

The service's rate is what a client sees: ticks between two looks at the running job, at least a
quarter of a second apart, so trainer, runner, ledger, store and segment files are all in it.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from bench.article_loop import SEED_SPEC
from bench.engines import GPT, WIDE
from bench.report import Figure, ratio
from bench.service import BenchService, running_service
from bench.timing import measure_in_turn
from jobs.spec.reading import read_spec
from ticks import machine
from ticks.training import TrainingRun

POLL_SECONDS = 0.25  # seconds between two looks
#: row -> spec, engine, ticks of a round, ticks of a chunk in process: 50 ms of work, or a few
ROWS: dict[str, tuple[dict[str, Any], str, int, int]] = {
    "seed's net, eager": (SEED_SPEC, "eager", 12_000, 200),
    "seed's net, graph": (SEED_SPEC, "graph", 60_000, 1_000),
    "seed's net, native": (SEED_SPEC, "native", 20_000_000, 300_000),
    "mlp 512-512-512, eager": (WIDE, "eager", 400, 8),
    "GPT 4 x 128, eager": (GPT, "eager", 40, 1),
}


def measure(rounds: int, *, share: int = 1) -> list[Figure]:
    """Measure every row in process and through a service, in turn; divide its ticks by `share`."""
    machine.configure_torch(1)
    measurements, figures = dict[str, Callable[[], float]](), list[Figure]()
    with running_service() as service:
        for row, (body, engine, ticks, chunk) in ROWS.items():
            spec = {**body, "budget": {"ticks": ticks // share}, "compute": {"engine": engine}}
            measurements[f"{row}: in process"] = partial(_rate_in_process, spec, chunk)
            measurements[f"{row}: recorded"] = partial(_rate_recorded, service, spec)
        rates = measure_in_turn(measurements, rounds, warmup_rounds=1)  # which compiles
    for row in ROWS:
        in_process, recorded = rates[f"{row}: in process"], rates[f"{row}: recorded"]
        figures += [
            Figure(f"{row}: in process", "ticks/s", in_process),
            Figure(f"{row}: recorded", "ticks/s", recorded),
            ratio(f"{row}: recorded against in process", recorded, in_process),
        ]
    return figures


def _rate_in_process(body: dict[str, Any], chunk: int) -> float:
    spec = read_spec(body, max_parameters=10**7)
    training = TrainingRun(spec, torch.device("cpu"), engine=body["compute"]["engine"])
    training.run(1)
    started = time.perf_counter()
    while training.end_reason is None:
        training.run(chunk)
    return (training.ticks_done - 1) / (time.perf_counter() - started)


def _rate_recorded(service: BenchService, body: dict[str, Any]) -> float:
    """Return ticks per second between the first and the last look at the running job."""
    total, job_id = body["budget"]["ticks"], service.submit(body)
    samples: list[tuple[float, int]] = []
    while True:
        job = service.job(job_id)
        if 0 < job["tick"] < total:
            samples.append((time.perf_counter(), job["tick"]))
        if job["finished_at"] is not None:
            break
        time.sleep(POLL_SECONDS if samples else 0.01)
    assert job["status"] == "succeeded" and len(samples) > 1, (job["status"], samples)
    (started, first), (ended, last) = samples[0], samples[-1]
    return (last - first) / (ended - started)
