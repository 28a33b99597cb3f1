"""The whole service against the hand-written loop: from POST to `succeeded`, over HTTP.

In turn, on the same machine, in one run. After every job all of its losses are read back over HTTP
and compared: with those of the loop, bit for bit, where the engine's name promises torch's bits,
else with those of the same engine in this process. A difference ends the measurement.
"""

import tempfile
import time
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch

from bench.article_loop import SEED_SPEC, TICKS, run_article_loop
from bench.engines import GPT, WIDE, make_hand_written_loop, make_spec
from bench.report import Figure, ratio
from bench.service import BenchService, running_service
from bench.timing import time_call
from jobs.spec.reading import read_spec
from ticks import machine
from ticks.training import TrainingRun

MAX_WARMUP_SECONDS = 45  # seconds
#: net -> its spec, ticks of a round
LARGER: dict[str, tuple[dict[str, Any], int]] = {
    "mlp 512-512-512, batch 64": (WIDE, 400),
    "GPT 4 x 128, batch 16 x 64": (GPT, 100),
}


@dataclass
class Rounds:
    """Ticks per second of the loop and of the service, round by round."""

    loop: list[float] = field(default_factory=list)
    service: list[float] = field(default_factory=list)


def measure(rounds: int, *, long: int = 10_000_000) -> list[Figure]:
    """Run loop and service in turn: the seed's net short and long, and the larger nets."""
    machine.configure_torch(1)
    with tempfile.TemporaryDirectory() as cache, running_service(XDG_CACHE_HOME=cache) as service:
        losses = run_article_loop()[1]
        cold = _run_short_job(service, losses)[0]
        _wait_until_warm(service, losses)
        warm, engines = Rounds(), set[str]()
        long_rates = Rounds(loop=warm.loop)
        larger = {net: Rounds() for net in LARGER}
        loops = {net: make_hand_written_loop(make_spec(LARGER[net][0])) for net in LARGER}
        long_spec = {**SEED_SPEC, "budget": {"ticks": long}}
        expected = _native_losses(long_spec)
        for _ in range(rounds):
            seconds, losses = run_article_loop()
            warm.loop.append(TICKS / seconds)
            seconds, engine = _run_short_job(service, losses)
            engines.add(engine)
            warm.service.append(TICKS / seconds)
            long_rates.service.append(long / _run_long_job(service, long_spec, expected))
            for net, (body, ticks) in LARGER.items():
                larger[net].loop.append(ticks / time_call(partial(loops[net], ticks)))
                larger[net].service.append(ticks / _run_larger_job(service, body, ticks))
    warm_name = f"POST to succeeded, 10,000 ticks, warm ({', '.join(sorted(engines))})"
    return [
        Figure("article's loop alone, 10,000 ticks", "s", [TICKS / rate for rate in warm.loop]),
        Figure(warm_name, "s", [TICKS / rate for rate in warm.service]),
        Figure("POST to succeeded, 10,000 ticks, cold: nothing compiled yet", "s", [cold]),
        *_figures("seed's net, 10,000 ticks", warm),
        *_figures(f"seed's net, {long:,} ticks", long_rates),
        *(figure for net, net_rounds in larger.items() for figure in _figures(net, net_rounds)),
    ]


def _figures(net: str, rounds: Rounds) -> list[Figure]:
    return [
        Figure(f"{net}: the loop", "ticks/s", rounds.loop),
        Figure(f"{net}: service, POST to succeeded", "ticks/s", rounds.service),
        ratio(f"{net}: service against the loop", rounds.service, rounds.loop),
    ]


def _run_short_job(service: BenchService, losses: bytes) -> tuple[float, str]:
    seconds, job = service.run(SEED_SPEC)
    assert job["engine"] in ("eager", "graph"), "a short job has torch's bits"
    assert _read_losses(service, job) == losses, "the service's losses are not the article's"
    return seconds, str(job["engine"])


def _wait_until_warm(service: BenchService, losses: bytes) -> None:
    """Wait until the worker has compiled its loop beside the first jobs."""
    deadline = time.perf_counter() + MAX_WARMUP_SECONDS
    while _run_short_job(service, losses)[1] != "graph" and time.perf_counter() < deadline:
        time.sleep(1)


def _run_long_job(service: BenchService, body: dict[str, Any], losses: bytes) -> float:
    seconds, job = service.run(body)
    assert job["engine"] == "native", job["engine"]
    assert _read_losses(service, job) == losses, "the service's losses are not the engine's"
    return seconds


def _run_larger_job(service: BenchService, body: dict[str, Any], ticks: int) -> float:
    seconds, job = service.run({**body, "budget": {"ticks": ticks}})
    assert len(_read_losses(service, job)) == 4 * ticks
    return seconds


def _native_losses(body: dict[str, Any]) -> bytes:
    """Return the losses of the long job, trained in this process."""
    spec = read_spec(body, max_parameters=10**6)
    training = TrainingRun(spec, torch.device("cpu"), engine="native")
    chunks = []
    while training.end_reason is None:
        chunks.append(training.run(1 << 18).chunk.columns["loss"])
    return np.concatenate(chunks).astype("<f4").tobytes()


def _read_losses(service: BenchService, job: dict[str, Any]) -> bytes:
    """Return every tick's loss, read from the service."""
    headers = {"Accept": "application/octet-stream"}
    response = service.http.get(f"/v1/jobs/{job['id']}/history", headers=headers)
    response.raise_for_status()
    return response.content
