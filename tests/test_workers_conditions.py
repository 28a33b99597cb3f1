"""Conditions that a runner finds: the tick that it tells, and that it tells it once."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from jobs.history.column_reader import ColumnReader, decode_floats
from jobs.job import Job
from jobs.store import keys
from jobs.values import finite_or_none
from tests.worker_harness import SPEC, TENANT, WorkerHarness, running_worker_harness

VALIDATED = {**SPEC, "validation": {"fraction": 0.25, "every_ticks": 50}, "record": ["grad_norm"]}


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerHarness]:
    with running_worker_harness(tmp_path_factory.mktemp("conditions")) as harness:
        harness.start_worker(
            "usual", TICKFORGE_FAULTS=str(harness.faults), TICKFORGE_LEASE_SECONDS="2"
        )
        yield harness


class Watched:
    """A spec with conditions that are met here and there, and what a look at a history expects."""

    def __init__(self, harness: WorkerHarness) -> None:
        self.harness = harness
        job = self._ended(VALIDATED)
        losses, norms = self._dense(job, "loss"), self._dense(job, "grad_norm")
        _, validations = self._points(job, "val_loss")
        thresholds = {
            "loss<": float(np.minimum.accumulate(losses)[250]),
            "loss>": float(np.maximum.accumulate(losses)[10]) * (1 - 1e-9),
            "grad_norm<": float(np.sort(norms)[len(norms) // 20]),
            "val_loss<": float(np.minimum.accumulate(validations)[6]) * (1 + 1e-9),
            "tick>=": 333,
            "lr<": 1e-9,  # never
        }
        self.spec = {
            **VALIDATED, "notify_when": [f"{form}{x!r}" for form, x in thresholds.items()],
        }  # fmt: skip
        self.thresholds = thresholds

    def condition_events(self, job_id: str) -> list[dict[str, Any]]:
        """Return the data of a job's events of conditions, sorted."""
        texts: Any = self.harness.store.lrange(keys.events(TENANT, job_id), 0, -1)
        events = [event for event in map(json.loads, texts) if event["type"] == "condition"]
        return sorted((event["data"] for event in events), key=lambda data: data["condition"])

    def expected(self, job: Job) -> list[dict[str, Any]]:
        """Return what a history of every tick says, looked at value by value."""
        first_ones = []
        for form, threshold in self.thresholds.items():
            column, sign = form.rstrip("<>="), form[-1]
            if column == "tick":
                ticks, values = np.array([333]), np.array([333.0])
            elif column == "lr":
                continue
            elif column.startswith("val"):
                ticks, values = self._points(job, column)
            else:
                values = self._dense(job, column)
                ticks = np.arange(1, len(values) + 1)
            for tick, value in zip(ticks.tolist(), values.tolist(), strict=True):
                if {"<": value < threshold, ">": value > threshold, "=": True}[sign]:
                    data = {"condition": f"{form}{threshold!r}", "tick": tick}
                    first_ones.append({**data, "value": finite_or_none(value)})
                    break
        return sorted(first_ones, key=lambda data: str(data["condition"]))

    def _ended(self, spec: dict[str, Any]) -> Job:
        job_id = self.harness.submit(spec)
        return self.harness.wait_for(job_id, lambda job: job.is_terminal)

    def _dense(self, job: Job, column: str) -> Any:
        reader = ColumnReader(self.harness.store, self.harness.files)
        return reader.values(reader.read_extent(TENANT, job.id), column, 1, job.tick)

    def _points(self, job: Job, column: str) -> Any:
        reader = ColumnReader(self.harness.store, self.harness.files)
        points = reader.points(reader.read_extent(TENANT, job.id), column, 0, job.tick)
        return points["tick"].astype(int), decode_floats(points)


@pytest.fixture(scope="module")
def watched(harness: WorkerHarness) -> Watched:
    return Watched(harness)


def test_each_condition_is_told_at_the_first_tick_that_meets_it(watched: Watched) -> None:
    job = watched._ended(watched.spec)
    events = watched.condition_events(job.id)
    assert job.status == "succeeded" and events == watched.expected(job)
    assert len(events) == 5 and len({data["tick"] for data in events}) == 5
    assert all(1 < data["tick"] < 600 for data in events)


#: where the runner or its trainer is killed: with a condition found and not told, with ticks
#: accepted and no reply read, and in the middle of a chunk, so that told ticks are replayed
DEATHS = [("conditions", 1), ("conditions", 2), ("store:append:after", 4), ("tick", 190)]


def test_the_same_ticks_are_told_once_each_after_deaths_and_replays(
    harness: WorkerHarness, watched: Watched
) -> None:
    fired = [harness.arm(point, "kill", nth=nth) for point, nth in DEATHS]
    job_id = harness.submit(watched.spec)
    job = harness.wait_for(job_id, lambda job: job.is_terminal)
    assert all(file.exists() for file in fired) and job.attempt == 1 + len(DEATHS)
    assert job.status == "succeeded" and watched.condition_events(job_id) == watched.expected(job)
