"""Processes of a service: memory at rest, seconds to start and stop, the gap of an API restart.

BENCH_BEFORE may name a work tree of another build, which is then measured in turn with this one.
"""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil

from bench.first_tick import SPEC
from bench.report import Figure, ratio
from bench.service import BenchService, compared_builds, started_service

ENDLESS = {**SPEC, "budget": {"ticks": 10**8}, "compute": {"engine": "eager"}}
SETTLE_SECONDS = 3.0
RESTART_WATCH_SECONDS = 4.0
MEMORY = {"rss": "RSS", "pss": "PSS", "uss": "USS"}
MIB = 1 << 20
Values = dict[str, list[float]]


def measure(rounds: int) -> list[Figure]:
    """Start, watch and stop each build in turn, once idle and once with a running job a round."""
    builds = compared_builds()
    values: dict[str, Values] = {name: {} for name in builds}
    for round_number in range(rounds):
        order = list(builds) if round_number % 2 else list(builds)[::-1]
        for name in order:
            _measure_round(builds[name], values[name])
    figures = [
        Figure(f"{name}: {what}", _unit(what), taken)
        for name, build in values.items()
        for what, taken in build.items()
    ]
    if "before" in builds:
        new, old = values["this build"], values["before"]
        figures += [ratio(f"against before: {what}", new[what], old[what]) for what in new]
    return figures


def _unit(what: str) -> str:
    return "MiB" if what.split()[0] in MEMORY.values() else "s"


def _measure_round(tree: Path, values: Values) -> None:
    def add(what: str, value: float) -> None:
        values.setdefault(what, []).append(value)

    with _service(tree) as (service, start_seconds):
        add("start to ready", start_seconds)
        time.sleep(SETTLE_SECONDS)
        _add_memory("at rest", service, values)
        add("stop, idle", _stop(service))
    with _service(tree) as (service, _):
        service.wait(service.submit(SPEC))  # the worker's first job pays for its canary
        for _ in range(3):
            add("POST to first tick", _first_tick_seconds(service))
        time.sleep(SETTLE_SECONDS)
        _add_memory("after four jobs", service, values)
        add("longest answer in an API restart", _restart_gap(service))
        job_id = service.submit(ENDLESS)
        while service.job(job_id)["tick"] < 100:
            time.sleep(0.05)
        add("stop, with a running job", _stop(service))


@contextmanager
def _service(tree: Path) -> Iterator[tuple[BenchService, float]]:
    """Run the service of a build; yield it with the seconds until it was ready."""
    started = time.perf_counter()
    with started_service(tree=tree, timeout=120, PYTHONPATH="") as service:
        seconds = time.perf_counter() - started
        service.http.headers["Connection"] = "close"
        yield service, seconds


def _add_memory(when: str, service: BenchService, values: Values) -> None:
    """Add the sums over all processes but the template's, and the template alone."""
    root = psutil.Process(service.process.pid)
    rest, template = dict.fromkeys(MEMORY, 0.0), dict.fromkeys(MEMORY, 0.0)
    for process in _processes_at_rest(root):
        line = " ".join(process.cmdline())
        memory = process.memory_full_info()
        total = template if "ticks.process.forkserver" in line else rest
        for kind in MEMORY:
            total[kind] += getattr(memory, kind) / MIB
    for kind, name in MEMORY.items():
        values.setdefault(f"{name} of all but the template, {when}", []).append(rest[kind])
        values.setdefault(f"{name} of the template, {when}", []).append(template[kind])


def _processes_at_rest(process: psutil.Process) -> Iterator[psutil.Process]:
    """Yield a process and those below it, but none that compiles: that is done once a machine."""
    line = " ".join(process.cmdline())
    if "ticks.engines" not in line:
        yield process
        for child in process.children():
            yield from _processes_at_rest(child)


def _first_tick_seconds(service: BenchService) -> float:
    started = time.perf_counter()
    job_id = service.submit(SPEC)
    while service.job(job_id)["tick"] == 0:
        time.sleep(0.002)
    seconds = time.perf_counter() - started
    service.wait(job_id)
    return seconds


def _restart_gap(service: BenchService) -> float:
    """Send SIGTERM to gunicorn's arbiter under requests; return the seconds of the slowest."""
    (arbiter,) = [
        process
        for process in psutil.Process(service.process.pid).children()
        if process.cmdline()[1:3] == ["-m", "api"]
    ]
    longest, stopped = [0.0], threading.Event()

    def request_until_stopped() -> None:
        while not stopped.is_set():
            started = time.perf_counter()
            with suppress(httpx.TransportError):  # cut off: the next one tells how long
                service.http.get("/v1/jobs?limit=1")
            longest[0] = max(longest[0], time.perf_counter() - started)
            time.sleep(0.01)

    client = threading.Thread(target=request_until_stopped)
    client.start()
    arbiter.send_signal(signal.SIGTERM)
    time.sleep(RESTART_WATCH_SECONDS)
    stopped.set()
    client.join()
    return longest[0]


def _stop(service: BenchService) -> float:
    started = time.perf_counter()
    service.process.terminate()
    service.process.wait(60)
    return time.perf_counter() - started
