"""A language model's training: the same bits in chunks of any length, and resumed at any tick.

The text is small and has characters of several bytes, so that epochs end, batches are short, and
rows are found by the index.
"""

from collections.abc import Callable
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest
import torch

import ticks.data.text_windows
import ticks.trainer
from jobs.sampling.seeds import derive_seed
from jobs.spec.job_spec import JobSpec
from jobs.store.connection import Store
from tests.datasets import TEXT as TEXT_TYPE
from tests.test_ticks_chunks import at_random
from tests.test_ticks_dataset_training import Home
from tests.texts import TINY, lm_spec, random_text, write_texts
from tests.training_records import (
    RunRecord,
    join_records,
    resume_training,
    run_and_record,
    start_training,
    train_saving_at,
)
from ticks.training import TrainingRun

TEXT = random_text(211)  # 26 windows of 8: 20 to train on, 7 batches an epoch, the last of 2 rows
TICKS = 24
AT = (0, 1, 6, 7, 8, 15, 23, 24)


def everything(model: dict[str, Any] | None = None, **changes: Any) -> JobSpec:
    """A spec of all that has a state or is random, with some fields replaced."""
    fields: dict[str, Any] = {
        "model": {"vocabulary": "characters", "dropout": 0.2} | (model or {}),
        "text": TEXT,
        "optimizer": {"name": "adamw", "lr": 0.02},
        "schedule": {"name": "cosine", "warmup_ticks": 6},
        "budget": {"ticks": TICKS},
        "batch_size": 3,
        "micro_batches": 2,
        "clip_norm": 0.5,
        "validation": {"fraction": 0.25, "every_ticks": 8},
        "record": ["loss", "grad_norm"],
        "seed": 7,
    }
    return lm_spec(**fields | changes)


SPECS: dict[str, JobSpec] = {
    "LayerNorm before": everything(),
    "LayerNorm after": everything({"norm_position": "post"}),
    "RMSNorm": everything({"norm": "rms"}),
    "no norm, untied": everything({"norm": "none", "tied_embeddings": False}),
    "bytes in order": everything(
        {"vocabulary": "bytes", "dropout": 0.0},
        data={"source": "dataset", "id": "ds_" + "a" * 26, "window": 8, "shuffle": False},
        micro_batches=1,
    ),
    "bfloat16": everything(compute={"precision": "bfloat16"}),
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_texts(tmp_path_factory.mktemp("artifacts"), text=TEXT)


@pytest.mark.parametrize("name", SPECS)
def test_the_length_of_chunks_changes_no_bit(name: str, home: Path) -> None:
    spec = SPECS[name]
    lengths = (repeat(1), repeat(7), repeat(1000), at_random(1))
    records = [
        run_and_record(start_training(spec, home), chunk_lengths) for chunk_lengths in lengths
    ]
    assert (records[0].tick, records[0].ended) == (TICKS, "budget")
    assert all(other == records[0] for other in records[1:])


@pytest.mark.parametrize("name", SPECS)
def test_resumed_at_any_tick_is_the_straight_training(
    name: str, home: Path, tmp_path: Path
) -> None:
    spec = SPECS[name]
    straight = run_and_record(start_training(spec, home))
    for tick, folder, before in train_saving_at(spec, AT, tmp_path, home):
        training = resume_training(spec, folder, home)
        after = run_and_record(training)
        assert tick == TICKS or join_records(before, after) == straight, f"resumed at tick {tick}"
        assert after.state == straight.state and after.metrics == straight.metrics


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 8}, {"micro_batches": 3}, {"compute": {"precision": "bfloat16"}},
        {"model": {"norm_position": "post"}}, {"model": {"norm": "rms"}},
        {"model": {"dropout": 0.0}}, {"model": {"vocabulary": "bytes"}},
    ],
    ids=str,
)  # fmt: skip
def test_the_comparison_sees_another_spec(changes: dict[str, Any], home: Path) -> None:
    one, other = (
        run_and_record(start_training(everything(**fields), home), until=2)
        for fields in ({}, changes)
    )
    assert one.columns != other.columns and one.state != other.state


@pytest.mark.parametrize("purpose", ["dropout", "order"])
def test_a_resume_with_other_random_numbers_differs(
    purpose: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def off_by_one(what: str, seed: int, number: int = 0, *more: int) -> int:
        return derive_seed(what, seed, number + (what == purpose), *more)

    spec = SPECS["LayerNorm before"]
    straight = run_and_record(start_training(spec, home))
    ((_, folder, before),) = train_saving_at(spec, [8], tmp_path, home)
    monkeypatch.setattr(ticks.trainer, "derive_seed", off_by_one)
    monkeypatch.setattr(ticks.data.text_windows, "derive_seed", off_by_one)
    record = join_records(before, run_and_record(resume_training(spec, folder, home)))
    assert record.columns != straight.columns


def forget_optimizer(training: TrainingRun) -> None:
    training.trainer.optimizer.state.clear()


def lose_position(training: TrainingRun) -> None:
    training.trainer.ticks_done -= 1


def spoil_an_embedding(training: TrainingRun) -> None:
    weight = dict(training.trainer.net.named_parameters())["positions.weight"].detach()
    weight[3, 3] = torch.nextafter(weight[3, 3], torch.tensor(torch.inf))


@pytest.mark.parametrize("spoil", [forget_optimizer, lose_position, spoil_an_embedding])
def test_a_resume_of_another_state_differs(
    spoil: Callable[[TrainingRun], None], home: Path, tmp_path: Path
) -> None:
    spec = SPECS["LayerNorm before"]
    straight = run_and_record(start_training(spec, home))
    ((_, folder, before),) = train_saving_at(spec, [8], tmp_path, home)
    training = resume_training(spec, folder, home)
    spoil(training)
    assert join_records(before, run_and_record(training, until=TICKS)).state != straight.state


def loss_of(record: RunRecord) -> torch.Tensor:
    return torch.frombuffer(bytearray(record.columns["loss"]), dtype=torch.float32)


def test_in_bfloat16_weights_and_losses_stay_float32_and_near_the_others(home: Path) -> None:
    training = start_training(SPECS["bfloat16"], home)
    half, whole = (
        run_and_record(training),
        run_and_record(start_training(SPECS["LayerNorm before"], home)),
    )
    assert torch.allclose(loss_of(half), loss_of(whole), rtol=0.05)
    assert not torch.equal(loss_of(half), loss_of(whole))
    # losses of a bfloat16 have 8 significant bits, which not all of these can have by chance
    assert not torch.equal(loss_of(half).bfloat16().float(), loss_of(half))
    tensors = [*training.trainer.parameters]
    tensors += [t for state in training.trainer.optimizer.state.values() for t in state.values()]
    assert {tensor.dtype for tensor in tensors} == {torch.float32}


def test_parts_give_the_gradient_of_the_whole(home: Path) -> None:
    fields = {"model": {"vocabulary": "characters", "dropout": 0.0}, "clip_norm": None}
    whole, parts = (
        run_and_record(start_training(everything(**fields, micro_batches=count), home), until=1)
        for count in (1, 3)
    )
    assert torch.allclose(loss_of(whole), loss_of(parts), rtol=1e-6)


def test_a_loss_that_is_not_finite_leaves_the_state_before_it(home: Path) -> None:
    spec = everything(optimizer={"name": "sgd", "lr": 10}, clip_norm=None, schedule={})
    training = start_training(spec, home)
    with torch.no_grad():
        training.trainer.parameters[0].fill_(3e38)
    before = run_and_record(training, until=0).state
    record = run_and_record(training)
    assert "nonfinite" in record.failed and record.tick == 0 and record.state == before


def test_an_uploaded_text_gives_the_bits_of_the_same_text_elsewhere(
    store: Store, home: Path, tmp_path: Path
) -> None:
    uploads = Home(store, tmp_path / "artifacts")
    fields: dict[str, Any] = {
        "model": TINY | {"vocabulary": "characters"},
        "batch_size": 4,
        "validation": {"fraction": 0.2},
    }
    spec = uploads.spec(uploads.add(TEXT.encode(), TEXT_TYPE), None, data={"window": 8}, **fields)
    same = lm_spec(text=TEXT, **fields)
    assert spec.profile == same.profile and spec.objective == "language_model"
    assert uploads.train_and_record(spec) == run_and_record(start_training(same, home))
