"""Errors that a resume must not make, and why equal losses alone do not exclude them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from jobs.spec.job_spec import JobSpec
from jobs.store import keys
from tests.training_records import (
    RunRecord,
    read_small_spec,
    resume_training,
    run_and_record,
    start_training,
    train_saving_at,
)
from tests.worker_harness import TENANT, WorkerHarness, running_worker_harness
from ticks import state_files
from ticks.state import state_digest
from ticks.training import TrainingRun

VALIDATED: dict[str, Any] = {
    "model": {"family": "mlp", "hidden": [6, 5], "dropout": 0.25},
    "optimizer": {"name": "sgd", "lr": 0.01, "momentum": 0.9},
    "budget": {"ticks": 40},
    "validation": {"fraction": 0.25, "every_ticks": 8},
}


def at_16(spec: JobSpec, folder: Path) -> tuple[TrainingRun, RunRecord]:
    """A training resumed at its second validation, and what was said before."""
    ((_, home, before),) = train_saving_at(spec, [16], folder)
    return resume_training(spec, home), before


def test_a_resume_at_a_validated_tick_does_not_validate_again(tmp_path: Path) -> None:
    training, _ = at_16(read_small_spec(**VALIDATED), tmp_path)
    announced: list[str] = []
    training.announce = announced.append

    assert training.validate().sparse == [] and announced == []
    training.run(1)
    assert training.validate().sparse != [] and announced == ["validating"]


def test_validation_looks_at_the_net_that_is_saved_with_nothing_dropped(tmp_path: Path) -> None:
    spec = read_small_spec(**VALIDATED)
    training = start_training(spec)
    run_and_record(training, until=16)
    net, rows = training.trainer.net.eval(), training.held_out
    assert rows is not None
    blocks = list(rows.blocks())
    with torch.no_grad():
        losses = [training.trainer.criterion(net(block.inputs), block.targets) for block in blocks]
    assert len(blocks) == 1 and training.metrics["val_loss"] == losses[0].item()
    with torch.no_grad():
        dropped = training.trainer.criterion(net.train()(blocks[0].inputs), blocks[0].targets)
    assert dropped.item() != losses[0].item()


def ulp_off(training: TrainingRun, number: int) -> None:
    """Move one weight of the first layer by one unit in its last place."""
    weight = training.trainer.parameters[0].data.view(-1)
    weight[number] = torch.nextafter(weight[number], torch.tensor(torch.inf))


def test_a_weight_off_by_one_ulp_shows_in_the_digest_of_the_load_and_often_in_no_loss(
    tmp_path: Path,
) -> None:
    """Some ticks later it may even have been rounded away, and shows in no state either."""
    spec = read_small_spec(**VALIDATED)
    _, before = at_16(spec, tmp_path)
    home = tmp_path / "16"
    straight = run_and_record(resume_training(spec, home), until=20)
    unseen = 0
    for number in range(resume_training(spec, home).trainer.parameters[0].numel()):
        training = resume_training(spec, home)
        ulp_off(training, number)
        assert state_digest(training.trainer) != before.state
        unseen += run_and_record(training, until=20).columns == straight.columns
    assert unseen > 0


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerHarness]:
    with running_worker_harness(tmp_path_factory.mktemp("controls")) as harness:
        yield harness


def test_a_state_that_loads_otherwise_ends_the_attempt(harness: WorkerHarness) -> None:
    harness.start_worker("one")
    job_id = harness.pause_at(220)
    newest = harness.index.get_checkpoint(TENANT, job_id, "latest")
    checkpoints_key = keys.checkpoints(TENANT, job_id)
    record = json.loads(bytes(harness.store.hget(checkpoints_key, str(newest.tick)) or b""))  # type: ignore[arg-type]
    record["state"] = f"{int(record['state'], 16) ^ 1:016x}"
    harness.store.hset(checkpoints_key, str(newest.tick), json.dumps(record))

    harness.resume(job_id)

    job = harness.wait_for(job_id, lambda job: job.is_terminal)
    assert job.status == "failed" and job.error is not None
    assert (job.error.type, job.error.tick) == ("diverged", newest.tick)


def test_a_saved_state_loads_with_its_digest(tmp_path: Path) -> None:
    spec = read_small_spec(**VALIDATED)
    training, before = at_16(spec, tmp_path)
    assert state_digest(training.trainer) == before.state
    assert state_files.load(start_training(spec), tmp_path / "16")["state"] == before.state
