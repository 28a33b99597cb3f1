"""Warms up a trainer that was forked before there is a job for it.

A fresh fork has none of its parent's page table entries of libraries, and copies each page that it
writes to. A job's first build and ticks meet 2,500 such pages and take 15 ms longer than a second
job's in the same process would (measured); a tiny training meets them while the last job ends.
It leaves no trace: whatever a job computes with is seeded or set by its own build.
"""

from collections.abc import Generator

import torch

from jobs import fault_points
from jobs.spec.reading import read_spec
from ticks import machine, state_files
from ticks.engines.selection import ready_engines
from ticks.state import digest_tensors
from ticks.training import TrainingRun

TICKS = 2
SPEC = {
    "model": {"family": "mlp", "hidden": [4]},
    "data": {"source": "synthetic", "kind": "regression", "samples": 8, "features": 2},
    "budget": {"ticks": TICKS},
    "batch_size": 1,
}
MAX_PARAMETERS = 1_000


def warm_up(engine: str) -> Generator[None, None, None]:
    """Train a tiny net on the CPU with one thread, by an engine if that needs no compiler.

    Yields after each step of some milliseconds, so that a job need not wait for the others.
    """
    machine.configure_torch(1)
    spec = read_spec(SPEC, max_parameters=MAX_PARAMETERS)
    yield
    ready_engine = engine if engine in ready_engines() else "eager"
    with fault_points.ignored():
        training = TrainingRun(spec, torch.device("cpu"), engine=ready_engine)
        yield
        for _ in range(TICKS):
            training.run(1)
            yield
        state = state_files.capture(training)
        digest_tensors(state.net, state.optimizer)
