"""The whole service against the loop that one would write: from POST to `succeeded`, over HTTP.

In turn, on the same machine, in one run. After every job all of its losses are read back over HTTP
and compared: with those of the loop, bit for bit, where the engine's name promises torch's bits,
else with those of the same engine in this process. A difference ends the measurement.
"""

import tempfile
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from bench.article import SEED, TICKS, article
from bench.engines import GPT, WIDE, hand_written, spec_of
from bench.report import Figure, ratio
from bench.service import Service, running
from jobs.spec.job_spec import read_spec
from ticks import machine
from ticks.training import TrainingRun

LONG, LONG_QUICK = 10_000_000, 1_000_000
WARMING = 45  # seconds
#: net -> its changes to the seed, ticks of a round
LARGER: dict[str, tuple[dict[str, Any], int]] = {
    "mlp 512-512-512, batch 64": (WIDE, 400),
    "GPT 4 x 128, batch 16 x 64": (GPT, 100),
}


@dataclass
class Rounds:
    """Ticks a second of the loop and of the service, round by round."""

    loop: list[float] = field(default_factory=list)
    service: list[float] = field(default_factory=list)


def measure(rounds: int, *, long: int = LONG) -> list[Figure]:
    """Run loop and service in turn: the seed's net short and long, and the larger nets."""
    machine.configure_torch(1)
    with tempfile.TemporaryDirectory() as cache, running(XDG_CACHE_HOME=cache) as service:
        losses = article()[1]
        cold = _short(service, losses)[0]
        _warm(service, losses)
        warm, engines = Rounds(), set[str]()
        far = Rounds(loop=warm.loop)
        larger = {net: Rounds() for net in LARGER}
        same = {net: hand_written(spec_of(LARGER[net][0])) for net in LARGER}
        expected = _native(long)
        for _ in range(rounds):
            seconds, losses = article()
            warm.loop.append(TICKS / seconds)
            seconds, engine = _short(service, losses)
            engines.add(engine)
            warm.service.append(TICKS / seconds)
            far.service.append(long / _long(service, long, expected))
            for net, (changes, ticks) in LARGER.items():
                began = time.perf_counter()
                same[net](ticks)
                larger[net].loop.append(ticks / (time.perf_counter() - began))
                larger[net].service.append(ticks / _larger(service, changes, ticks))
    by = ", ".join(sorted(engines))
    return [
        Figure("article's loop alone, 10,000 ticks", "s", [TICKS / rate for rate in warm.loop]),
        Figure(f"POST to succeeded, 10,000 ticks, warm ({by})", "s", _seconds(warm)),
        Figure("POST to succeeded, 10,000 ticks, cold: nothing compiled yet", "s", [cold]),
        *_figures("seed's net, 10,000 ticks", warm),
        *_figures(f"seed's net, {long:,} ticks", far),
        *(each for net, found in larger.items() for each in _figures(net, found)),
    ]


def measure_quick(rounds: int) -> list[Figure]:
    """The same with fewer ticks in the long job."""
    return measure(rounds, long=LONG_QUICK)


def _seconds(found: Rounds) -> list[float]:
    return [TICKS / rate for rate in found.service]


def _figures(net: str, found: Rounds) -> list[Figure]:
    return [
        Figure(f"{net}: the loop", "ticks/s", found.loop),
        Figure(f"{net}: service, POST to succeeded", "ticks/s", found.service),
        ratio(f"{net}: service against the loop", found.service, found.loop),
    ]


def _short(service: Service, losses: bytes) -> tuple[float, str]:
    seconds, job = _done(service, SEED, TICKS)
    assert job["engine"] in ("eager", "graph"), "a short job has torch's bits"
    assert _read(service, job) == losses, "the service's losses are not the article's"
    return seconds, str(job["engine"])


def _warm(service: Service, losses: bytes) -> None:
    """Wait until the worker has compiled what it compiles beside the first jobs."""
    deadline = time.perf_counter() + WARMING
    while _short(service, losses)[1] != "graph" and time.perf_counter() < deadline:
        time.sleep(1)


def _long(service: Service, ticks: int, losses: bytes) -> float:
    seconds, job = _done(service, _long_spec(ticks), ticks)
    assert job["engine"] == "native", job["engine"]
    assert _read(service, job) == losses, "the service's losses are not the engine's"
    return seconds


def _larger(service: Service, changes: dict[str, Any], ticks: int) -> float:
    body = {**changes, "optimizer": {"name": "adamw"}, "budget": {"ticks": ticks}}
    seconds, job = _done(service, body, ticks)
    assert len(_read(service, job)) == 4 * ticks
    return seconds


def _long_spec(ticks: int) -> dict[str, Any]:
    return {**SEED, "budget": {"ticks": ticks}}


def _native(ticks: int) -> bytes:
    """The same job in this process."""
    spec = read_spec(_long_spec(ticks), max_parameters=10**6)
    training = TrainingRun(spec, torch.device("cpu"), engine="native")
    found = []
    while training.ended is None:
        found.append(training.run(1 << 18).chunk.columns["loss"])
    return np.concatenate(found).astype("<f4").tobytes()


def _done(service: Service, body: dict[str, Any], ticks: int) -> tuple[float, dict[str, Any]]:
    began = time.perf_counter()
    job = service.wait(service.submit(body))
    seconds = time.perf_counter() - began
    assert job["status"] == "succeeded" and job["tick"] == ticks, job["error"]
    return seconds, job


def _read(service: Service, job: dict[str, Any]) -> bytes:
    """Every tick's loss, as the service gives it."""
    told = {"Accept": "application/octet-stream"}
    answer = service.http.get(f"/v1/jobs/{job['id']}/history", headers=told)
    answer.raise_for_status()
    return answer.content
