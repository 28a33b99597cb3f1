"""Trainings in this process as records of all bits, which the tests of ticks compare."""

import json
from collections.abc import Iterable, Iterator
from itertools import repeat
from pathlib import Path
from typing import Any, NamedTuple

import torch

from jobs.spec.job_spec import JobSpec
from jobs.spec.reading import read_spec
from tests.support import small_spec
from ticks import machine, state_files
from ticks.state import state_digest
from ticks.training import TrainingRun

CPU = torch.device("cpu")


class RunRecord(NamedTuple):
    """All results of a training, and its state's digest; floats as their bytes or their repr."""

    columns: dict[str, bytes]
    sparse: list[tuple[str, int, str]]
    tick: int
    ended: str | None
    failed: str
    best: str
    metrics: str
    report: str
    state: str


def read_small_spec(**changes: Any) -> JobSpec:
    """Read a small spec with some fields replaced."""
    return read_spec(small_spec(**changes), max_parameters=10**7)


def start_training(
    spec: JobSpec, artifacts: Path | None = None, device: torch.device = CPU
) -> TrainingRun:
    """Build a training with one thread, by eager where the spec names no engine."""
    machine.configure_torch(1)
    return TrainingRun(spec, device, artifacts=artifacts, engine=engine_of(spec))


def engine_of(spec: JobSpec) -> str | None:
    """Return eager where a spec leaves the engine to a rule, which would try graph first."""
    return "eager" if spec.compute.engine == "auto" else None


def run_and_record(
    training: TrainingRun, lengths: Iterable[int] = repeat(1000), until: int = 1 << 60
) -> RunRecord:
    """Run in chunks of the given lengths to the end, a failure, or tick `until`."""
    columns: dict[str, bytes] = {}
    sparse: list[tuple[str, int, str]] = []
    failed, chunks = None, iter(lengths)
    while not (training.end_reason or failed or training.ticks_done >= until):
        result = training.run(min(next(chunks), until - training.ticks_done))
        for name, values in result.chunk.columns.items():
            columns[name] = columns.get(name, b"") + values.tobytes()
        sparse += [(name, tick, repr(value)) for name, tick, value in result.decisions.sparse]
        failed = result.failure
    return RunRecord(
        columns, sparse, training.ticks_done, training.end_reason, repr(failed),
        repr(training.best), repr(training.metrics), json.dumps(training.reports.render()),
        state_digest(training.trainer),
    )  # fmt: skip


def resume_training(
    spec: JobSpec, folder: Path, artifacts: Path | None = None, device: torch.device = CPU
) -> TrainingRun:
    """Build a training and load a saved state into it."""
    training = start_training(spec, artifacts, device)
    state_files.load(training, folder)
    return training


def train_saving_at(
    spec: JobSpec,
    ticks: Iterable[int],
    folder: Path,
    artifacts: Path | None = None,
    device: torch.device = CPU,
) -> Iterator[tuple[int, Path, RunRecord]]:
    """Train without a break, saving at these ticks: (tick, folder, record up to there)."""
    training = start_training(spec, artifacts, device)
    columns: dict[str, bytes] = {}
    sparse: list[tuple[str, int, str]] = []
    for tick in ticks:
        record = run_and_record(training, until=tick)
        columns = {name: columns.get(name, b"") + record.columns[name] for name in record.columns}
        sparse = sparse + record.sparse
        state_folder = folder / str(tick)
        state_folder.mkdir()
        state_files.save(training, state_folder)
        yield tick, state_folder, record._replace(columns=columns, sparse=sparse)


def join_records(before: RunRecord, after: RunRecord) -> RunRecord:
    """Join the records of two parts, as if they were one training."""
    columns = {name: before.columns.get(name, b"") + after.columns[name] for name in after.columns}
    return after._replace(columns=columns, sparse=before.sparse + after.sparse)
