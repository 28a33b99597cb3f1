"""Whole jobs through the service: this build beside another, in turn.

BENCH_BEFORE may name a work tree of the other build. Each has its own service with one worker.
"""

import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from bench.article_loop import SEED_SPEC
from bench.first_tick import FIRST_TICK, SPEC, time_job
from bench.report import Figure, ratio
from bench.service import BenchService, compared_builds, running_service
from bench.timing import measure_in_turn

ARTICLE: dict[str, Any] = {**SEED_SPEC, "budget": {"ticks": 10_000}}


def measure(rounds: int, *, jobs: int = 1000) -> list[Figure]:
    """Measure each build once a round; every value is in seconds, so a ratio above 1 is a gain."""
    builds = compared_builds()
    with ExitStack() as stack:
        services = {
            name: stack.enter_context(running_service(tree=tree, TICKFORGE_RATE_LIMIT="0"))
            for name, tree in builds.items()
        }
        batch = max(1, jobs // rounds)
        actions: dict[str, Callable[[BenchService], float]] = {
            f"{batch} jobs of 200 ticks": partial(_time_batch, count=batch),
            f"{batch} jobs of 200 ticks, processor time": partial(_count_batch, count=batch),
            "POST to succeeded, the article's 10,000 ticks": _time_article,
            FIRST_TICK: lambda service: time_job(service)[FIRST_TICK],
        }
        figures = [
            figure for what, action in actions.items()
            for figure in _compare(
                what, {name: partial(action, services[name]) for name in services}, rounds
            )
        ]  # fmt: skip
    cold = {name: partial(_time_cold_job, tree) for name, tree in builds.items()}
    return figures + _compare("a cold service's first job", cold, rounds, warmup_rounds=0)


def _compare(
    what: str, timers: dict[str, Callable[[], float]], rounds: int, *, warmup_rounds: int = 1
) -> list[Figure]:
    seconds = measure_in_turn(timers, rounds, warmup_rounds=warmup_rounds)
    figures = [Figure(f"{what}: {name}", "s", values) for name, values in seconds.items()]
    if "before" in seconds:
        figures.append(ratio(f"{what}: faster", seconds["before"], seconds["this build"]))
    return figures


def _time_batch(service: BenchService, count: int) -> float:
    """Return the seconds from the first POST of `count` jobs to the end of the last."""
    started = time.perf_counter()
    ids = [service.submit(SPEC) for _ in range(count)]
    ended = [service.wait(job_id) for job_id in ids[-3:]]
    seconds = time.perf_counter() - started
    assert all(job["status"] == "succeeded" for job in ended)
    return seconds


def _count_batch(service: BenchService, count: int) -> float:
    """Return the processor seconds that all processes of the service take for `count` jobs."""
    before = _processor_seconds(service)
    _time_batch(service, count)
    return _processor_seconds(service) - before


def _processor_seconds(service: BenchService) -> float:
    """Return user and system time of the service's processes and of those that have ended."""
    root, seconds = psutil.Process(service.process.pid), 0.0
    for process in (root, *root.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):  # a trainer: its parent has its times by now
            seconds += sum(process.cpu_times()[:4])
    return seconds


def _time_article(service: BenchService) -> float:
    return service.run(ARTICLE)[0]


def _time_cold_job(tree: Path) -> float:
    """Return the seconds from the first POST, at once after the start, to the job's end.

    Nothing is compiled yet: the cache is empty.
    """
    with (
        tempfile.TemporaryDirectory() as cache,
        running_service(tree=tree, XDG_CACHE_HOME=cache) as service,
    ):
        return service.run(SPEC)[0]
