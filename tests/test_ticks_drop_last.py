"""Epochs without a short last batch: `data.drop_last`."""

from itertools import repeat
from pathlib import Path
from typing import Any

import pytest
import torch

from jobs.spec.base import InvalidSpec
from jobs.spec.job_spec import JobSpec
from tests.needs import needs
from tests.training_records import read_small_spec, resume_training, run_and_record, start_training
from ticks import state_files

REGRESSION = {"source": "synthetic", "kind": "regression", "samples": 23, "features": 2}
DROPPED = {**REGRESSION, "drop_last": True}
TEXT = {"source": "example", "name": "genesis", "window": 512, "drop_last": True}
LM = {"family": "transformer_lm", "layers": 1, "heads": 1, "width": 8}
ENGINES = ["eager", "graph", pytest.param("native", marks=needs("gcc"))]


def numbered(rows: int, **changes: Any) -> JobSpec:
    """A spec of rows whose only input is their number."""
    inputs, targets = [[row] for row in range(rows)], [row % 7 / 4 for row in range(rows)]
    data = {"source": "inline", "inputs": inputs, "targets": targets, **changes.pop("data", {})}
    return read_small_spec(data=data, **{"batch_size": 5, **changes})


def rows_of_epochs(spec: JobSpec, epochs: int) -> list[list[int]]:
    batches = start_training(spec).trainer.batches
    ticks = range(1, epochs * spec.ticks_per_epoch + 1)
    assert all(len(batches.batch(tick).inputs) == spec.batch_size for tick in ticks)
    return [
        [
            row
            for tick in ticks[epoch * spec.ticks_per_epoch :][: spec.ticks_per_epoch]
            for row in batches.batch(tick).inputs[:, 0].int().tolist()
        ]
        for epoch in range(epochs)
    ]


@pytest.mark.parametrize("rows", [20, 21, 24])
def test_an_epoch_is_as_many_whole_batches_as_there_are(rows: int) -> None:
    spec = numbered(rows, data={"drop_last": True, "shuffle": False}, budget={"epochs": 3})
    assert (spec.ticks_per_epoch, spec.ticks_total) == (4, 12)
    assert rows_of_epochs(spec, 2) == [list(range(20))] * 2


def test_a_shuffled_epoch_leaves_out_other_rows_each_time() -> None:
    dropped, whole = (numbered(23, data={"drop_last": drop}) for drop in (True, False))
    epochs = rows_of_epochs(dropped, 6)
    assert all(len(set(rows)) == 20 for rows in epochs)
    assert len({frozenset(rows) for rows in epochs}) > 1
    batches = start_training(whole).trainer.batches
    head = [batches.batch(tick).inputs[:, 0].int().tolist() for tick in range(1, 5)]
    assert sum(head, []) == epochs[0]  # the order is that of the epoch with its last batch


def test_a_range_of_batches_is_the_batches_one_by_one() -> None:
    for data, model in ((DROPPED, {}), (TEXT, {"model": LM})):
        spec = read_small_spec(data=data, batch_size=5, **model)
        batches = start_training(spec).trainer.batches
        span = 2 * spec.ticks_per_epoch + 3
        together = batches.batch_range(2, span)
        assert together.rows is not None and set(together.counts.tolist()) == {5}
        for at, tick in enumerate(range(2, span + 1)):
            batch, first = batches.batch(tick), int(together.firsts[at])
            assert torch.equal(batch.inputs, together.rows.inputs[first : first + 5])


@pytest.mark.parametrize("engine", ENGINES)
def test_rows_in_order_without_the_last_batch_train_like_the_rows_before_it(engine: str) -> None:
    compute = {"engine": engine}
    cut = numbered(20, data={"shuffle": False}, compute=compute)
    dropped = numbered(23, data={"shuffle": False, "drop_last": True}, compute=compute)
    assert run_and_record(start_training(dropped)) == run_and_record(start_training(cut))


@pytest.mark.parametrize("engine", ENGINES)
def test_resumed_at_any_tick_is_the_straight_training(engine: str, tmp_path: Path) -> None:
    spec = read_small_spec(
        data=DROPPED, batch_size=5, budget={"ticks": 14}, compute={"engine": engine},
        validation={"fraction": 0.2, "every_ticks": 3},
    )  # fmt: skip
    assert spec.ticks_per_epoch == 3  # of 19 rows
    straight = run_and_record(start_training(spec), repeat(4))
    for tick in (2, 3, 4, 7):
        first = start_training(spec)
        run_and_record(first, until=tick)
        folder = tmp_path / f"{tick}"
        folder.mkdir()
        state_files.save(first, folder)
        rest = run_and_record(resume_training(spec, folder))
        assert rest.state == straight.state
        assert straight.columns["loss"].endswith(rest.columns["loss"])


def test_batch_norm_takes_a_batch_that_leaves_one_row_over_if_it_is_left_out() -> None:
    model = {"family": "mlp", "hidden": [4], "norm": "batch"}
    with pytest.raises(InvalidSpec) as caught:
        read_small_spec(data=REGRESSION, model=model, batch_size=11)
    (error,) = caught.value.errors
    assert error.pointer == "/batch_size" and "data.drop_last" in error.detail
    spec = read_small_spec(data=DROPPED, model=model, batch_size=11)
    assert run_and_record(start_training(spec)).ended == "budget"
