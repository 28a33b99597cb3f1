"""Trainings in this process, told to the last bit: what the tests of ticks compare."""

from collections.abc import Iterable, Iterator
from itertools import repeat
from pathlib import Path
from typing import Any, NamedTuple

import torch

from jobs.spec.job_spec import JobSpec, read_spec
from tests.support import small_spec
from ticks import machine, state_files
from ticks.state import state_digest
from ticks.training import TrainingRun

CPU = torch.device("cpu")


class Told(NamedTuple):
    """All that a training said, and its state's digest; floats as their bytes or their repr."""

    columns: dict[str, bytes]
    sparse: list[tuple[str, int, str]]
    tick: int
    ended: str | None
    failed: str
    best: str
    metrics: str
    state: str


def read(**changes: Any) -> JobSpec:
    """Read a small spec with some fields replaced."""
    return read_spec(small_spec(**changes), max_parameters=10**7)


def begin(spec: JobSpec, artifacts: Path | None = None) -> TrainingRun:
    """Build a training with one thread."""
    machine.configure_torch(1)
    return TrainingRun(spec, CPU, artifacts=artifacts)


def tell(
    training: TrainingRun, lengths: Iterable[int] = repeat(1000), until: int = 1 << 60
) -> Told:
    """Run in chunks of the given lengths to the end, a failure, or tick `until`."""
    columns: dict[str, bytes] = {}
    sparse: list[tuple[str, int, str]] = []
    failed, chunks = None, iter(lengths)
    while not (training.ended or failed or training.ticks_done >= until):
        ran = training.run(min(next(chunks), until - training.ticks_done))
        for name, values in ran.chunk.columns.items():
            columns[name] = columns.get(name, b"") + values.tobytes()
        sparse += [(name, tick, repr(value)) for name, tick, value in ran.decisions.sparse]
        failed = ran.failure
    return Told(
        columns, sparse, training.ticks_done, training.ended, repr(failed), repr(training.best),
        repr(training.metrics), state_digest(training.trainer),
    )  # fmt: skip


def resumed(spec: JobSpec, folder: Path, artifacts: Path | None = None) -> TrainingRun:
    """Build a training and load a saved state into it."""
    training = begin(spec, artifacts)
    state_files.load(training, folder)
    return training


def saved_at(
    spec: JobSpec, ticks: Iterable[int], folder: Path, artifacts: Path | None = None
) -> Iterator[tuple[int, Path, Told]]:
    """Train straight, saving at these ticks: (tick, folder, what was said up to there)."""
    training = begin(spec, artifacts)
    columns: dict[str, bytes] = {}
    sparse: list[tuple[str, int, str]] = []
    for tick in ticks:
        told = tell(training, until=tick)
        columns = {name: columns.get(name, b"") + told.columns[name] for name in told.columns}
        sparse = sparse + told.sparse
        home = folder / str(tick)
        home.mkdir()
        state_files.save(training, home)
        yield tick, home, told._replace(columns=columns, sparse=sparse)


def joined(before: Told, after: Told) -> Told:
    """What was said in both, as if it were one training."""
    columns = {name: before.columns.get(name, b"") + after.columns[name] for name in after.columns}
    return after._replace(columns=columns, sparse=before.sparse + after.sparse)
