"""A training saved and loaded at any tick is the straight one: every loss, every bit of state.

Losses alone would be a weak witness (a weight off by one ulp often shows in none of them), so the
digest of the whole state is compared too, and the negative controls show what each would miss.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import ticks.trainer
from jobs.sampling.seeds import derive_seed
from jobs.spec.job_spec import JobSpec
from tests.test_ticks_chunks import ENDS, OVERFLOWING
from tests.training_records import (
    RunRecord,
    join_records,
    read_small_spec,
    resume_training,
    run_and_record,
    start_training,
    train_saving_at,
)
from ticks import state_files
from ticks.state import state_digest
from ticks.training import TrainingRun

TICKS = 40  # 32 rows less 8 held out, 5 a batch: epochs of 5 ticks, the last of 4 rows
AT = (0, 1, 2, 4, 5, 6, 19, 20, 21, 39, 40)


def everything(**changes: Any) -> JobSpec:
    """A spec of all that has a state or is random, with some fields replaced."""
    fields: dict[str, Any] = {
        "model": {"family": "mlp", "hidden": [6, 5], "dropout": 0.25},
        "optimizer": {"name": "adamw", "lr": 0.02},
        "schedule": {"name": "cosine", "warmup_ticks": 6, "end_factor": 0.1},
        "budget": {"ticks": TICKS},
        "batch_size": 5,
        "micro_batches": 2,
        "clip_norm": 0.5,
        "validation": {"fraction": 0.25, "every_ticks": 8},
        "record": ["loss", "grad_norm"],
        "seed": 7,
    }
    return read_small_spec(**fields | changes)


def norm(name: str) -> dict[str, Any]:
    return {"model": {"family": "mlp", "hidden": [6, 5], "norm": name, "dropout": 0.25}}


SPECS: dict[str, JobSpec] = {
    "adamw": everything(),
    "adam": everything(optimizer={"name": "adam", "weight_decay": 0.1, "decay": "all"}),
    "sgd": everything(optimizer={"name": "sgd", "lr": 0.05}),
    "momentum": everything(optimizer={"name": "sgd", "lr": 0.05, "momentum": 0.9}),
    "nesterov": everything(
        optimizer={"name": "sgd", "lr": 0.05, "momentum": 0.9, "nesterov": True}
    ),
    "rms": everything(**norm("rms")),
    "group": everything(**norm("group")),
    "batch norm": everything(**norm("batch"), batch_size=6),
    "both norms": everything(**norm("layer+batch"), batch_size=6, micro_batches=1),
    "a test of the best": everything(test={"fraction": 0.2}),
    "without short batches": everything(
        data={
            "source": "synthetic",
            "kind": "regression",
            "samples": 36,  # 27 to train on: epochs of 5 ticks, two rows left out of each
            "features": 3,
            "drop_last": True,
        },
    ),
    "in order": everything(
        data={
            "source": "synthetic",
            "kind": "regression",
            "samples": 32,
            "features": 3,
            "shuffle": False,
        },
        micro_batches=1,
    ),
    "classes": everything(
        data={
            "source": "synthetic",
            "kind": "classification",
            "samples": 32,
            "features": 3,
            "classes": 3,
        }
    ),
    "weighted classes": everything(
        data={"source": "synthetic", "kind": "classification", "samples": 37, "features": 3},
        class_weights={"1": 3.0},
        label_smoothing=0.1,
        checkpoint={"best": {"metric": "val_auc"}},
        test={"fraction": 0.2},
    ),
    "bfloat16": everything(compute={"precision": "bfloat16"}),
    "example": everything(data={"source": "example", "name": "digits"}, batch_size=32),
}


@pytest.mark.parametrize("name", SPECS)
def test_resumed_at_any_tick_is_the_straight_training(name: str, tmp_path: Path) -> None:
    spec = SPECS[name]
    straight = run_and_record(start_training(spec))
    for tick, folder, before in train_saving_at(spec, AT, tmp_path):
        training = resume_training(spec, folder)
        assert training.ticks_done == tick
        after = run_and_record(training)
        assert tick == TICKS or join_records(before, after) == straight, f"resumed at tick {tick}"
        assert after.state == straight.state and after.metrics == straight.metrics


@pytest.mark.parametrize("end", ENDS)
def test_a_resume_ends_where_the_straight_training_ends(end: str, tmp_path: Path) -> None:
    changes, (last, _) = ENDS[end]
    spec = read_small_spec(**changes)
    straight = run_and_record(start_training(spec))
    at = sorted({1, last // 3, last // 2, last - 1})
    for tick, folder, before in train_saving_at(spec, at, tmp_path):
        assert join_records(before, run_and_record(resume_training(spec, folder))) == straight, (
            f"resumed at tick {tick}"
        )


def test_a_resume_of_a_resume_of_a_resume_is_the_straight_training(tmp_path: Path) -> None:
    spec = SPECS["adamw"]
    straight, record, training = run_and_record(start_training(spec)), None, start_training(spec)
    for tick in range(3, TICKS + 3, 3):
        part = run_and_record(training, until=tick)
        record = part if record is None else join_records(record, part)
        folder = tmp_path / str(tick)
        folder.mkdir()
        state_files.save(training, folder)
        training = resume_training(spec, folder)
    assert record == straight


def test_an_ended_training_stays_ended_after_a_load(tmp_path: Path) -> None:
    training = start_training(SPECS["sgd"])
    run_and_record(training)
    state_files.save(training, tmp_path)
    again = resume_training(SPECS["sgd"], tmp_path)
    assert again.end_reason == "budget" and again.run(5).chunk.count == 0


def test_a_skipped_tick_is_resumed_after(tmp_path: Path) -> None:
    spec = read_small_spec(**OVERFLOWING, stop={"on_nonfinite": "skip"})
    straight = run_and_record(start_training(spec))
    for _tick, folder, before in train_saving_at(spec, (28, 29, 30), tmp_path):
        assert join_records(before, run_and_record(resume_training(spec, folder))) == straight


def test_loading_returns_the_values_that_saving_returned(tmp_path: Path) -> None:
    training = start_training(SPECS["adamw"])
    run_and_record(training, until=20)
    saved = state_files.save(training, tmp_path)
    loaded = state_files.load(start_training(SPECS["adamw"]), tmp_path)
    assert {name: loaded[name] for name in saved} == saved
    assert loaded["best"] == training.best and loaded["end_reason"] is None


# What each part of the state is there for: without it a resume must be seen to differ.


@pytest.fixture(scope="module")
def straight() -> RunRecord:
    return run_and_record(start_training(SPECS["adamw"]))


@pytest.fixture
def at_20(tmp_path: Path) -> Iterator[tuple[TrainingRun, RunRecord]]:
    """A training resumed at tick 20, and what was said before."""
    (_, folder, before), *_ = train_saving_at(SPECS["adamw"], [20], tmp_path)
    yield resume_training(SPECS["adamw"], folder), before


def forget_optimizer(training: TrainingRun) -> None:
    training.trainer.optimizer.state.clear()


def forget_one_moment(training: TrainingRun) -> None:
    parameter = training.trainer.parameters[0]
    training.trainer.optimizer.state[parameter]["exp_avg_sq"].zero_()


def miscount_updates(training: TrainingRun) -> None:
    training.trainer.optimizer.state[training.trainer.parameters[0]]["step"].add_(1)


def lose_position(training: TrainingRun) -> None:
    training.trainer.ticks_done -= 1


SPOILED: list[Callable[[TrainingRun], None]] = [
    forget_optimizer,
    forget_one_moment,
    miscount_updates,
    lose_position,
]


@pytest.mark.parametrize("spoil", SPOILED)
def test_a_resume_without_a_part_of_the_state_differs(
    spoil: Callable[[TrainingRun], None], at_20: tuple[TrainingRun, RunRecord], straight: RunRecord
) -> None:
    training, before = at_20
    spoil(training)
    record = join_records(before, run_and_record(training, until=TICKS))
    assert record.columns != straight.columns and record.state != straight.state


@pytest.mark.parametrize("purpose", ["dropout", "order"])
def test_a_resume_with_other_random_numbers_differs(
    purpose: str,
    at_20: tuple[TrainingRun, RunRecord],
    straight: RunRecord,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def off_by_one(what: str, seed: int, number: int, *more: int) -> int:
        return derive_seed(what, seed, number + (what == purpose), *more)

    monkeypatch.setattr(ticks.trainer, "derive_seed", off_by_one)
    monkeypatch.setattr(ticks.data.batches, "derive_seed", off_by_one)
    training, before = at_20
    training.trainer.batches._order = None
    assert join_records(before, run_and_record(training)).columns != straight.columns


def ulp_up(tensor: torch.Tensor) -> None:
    flat = tensor.detach().view(-1)
    flat[0] = torch.nextafter(flat[0], torch.tensor(torch.inf))


def test_the_digest_sees_one_ulp_anywhere_in_the_state(tmp_path: Path) -> None:
    spec = SPECS["batch norm"]
    training = start_training(spec)
    run_and_record(training, until=10)
    trainer, seen = training.trainer, {state_digest(training.trainer)}
    adam = trainer.optimizer.state[trainer.parameters[0]]
    buffers = [b for b in trainer.net.buffers() if b.is_floating_point()]
    for number, tensor in enumerate([trainer.parameters[3], adam["exp_avg"], buffers[0]], 2):
        ulp_up(tensor)
        seen.add(state_digest(trainer))
        assert len(seen) == number


def test_a_damaged_weight_is_seen_by_the_digest_that_a_load_gives(tmp_path: Path) -> None:
    training = start_training(SPECS["sgd"])
    run_and_record(training, until=10)
    saved = state_files.save(training, tmp_path)
    file = tmp_path / "model.safetensors"
    damaged = bytearray(file.read_bytes())
    damaged[-3] ^= 1
    file.write_bytes(damaged)
    assert state_files.load(start_training(SPECS["sgd"]), tmp_path)["state"] != saved["state"]
