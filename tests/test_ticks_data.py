"""The rows of a job: where they come from, what is held out, the order they are trained in."""

from typing import Any

import numpy as np
import pytest
import torch

from tests.training_records import CPU, read_small_spec, start_training
from ticks.data.load import load_data

REGRESSION = {"source": "synthetic", "kind": "regression", "samples": 40, "features": 5, "seed": 9}
CLOUDS = {**REGRESSION, "kind": "classification", "samples": 600, "classes": 3}
DIGITS = {"source": "example", "name": "digits"}


def inline(inputs: Any, targets: Any) -> dict[str, Any]:
    return {"source": "inline", "inputs": inputs, "targets": targets}


def test_a_synthetic_regression_is_drawn_as_written() -> None:
    rows = load_data(read_small_spec(data=REGRESSION), CPU).training
    g = torch.Generator().manual_seed(9)
    x = torch.randn(40, 5, generator=g)
    y = x @ torch.randn(5, 1, generator=g) + 0.1 * torch.randn(40, 1, generator=g)
    assert torch.equal(rows.inputs, x) and torch.equal(rows.targets, y)


def test_synthetic_classes_are_clouds_around_centres_in_equal_numbers() -> None:
    rows = load_data(read_small_spec(data=CLOUDS), CPU).training
    assert rows.targets.dtype == torch.int64
    assert torch.bincount(rows.targets).tolist() == [200, 200, 200]
    clouds = [rows.inputs[rows.targets == one] for one in range(3)]
    assert all(abs(float(cloud.std(0).mean()) - 1) < 0.1 for cloud in clouds)
    means = torch.stack([cloud.mean(0) for cloud in clouds])
    assert float(torch.pdist(means).min()) > 1


def test_inline_targets_have_the_form_that_the_objective_takes() -> None:
    inputs = [[0.5, 1], [2, 3], [4, 5.25]]
    numbers = load_data(
        read_small_spec(data=inline(inputs, [0.5, 1, 2]), batch_size=1), CPU
    ).training
    assert torch.equal(numbers.inputs, torch.tensor(inputs))
    assert torch.equal(numbers.targets, torch.tensor([[0.5], [1], [2]]))
    pairs = load_data(
        read_small_spec(data=inline(inputs, [[1, 2], [3, 4], [5, 6]]), batch_size=1), CPU
    ).training
    assert pairs.targets.shape == (3, 2) and pairs.targets.dtype == torch.float32
    classes = read_small_spec(
        data=inline(inputs, [0, 2, 1]), objective="cross_entropy", batch_size=1
    )
    assert torch.equal(load_data(classes, CPU).training.targets, torch.tensor([0, 2, 1]))


def test_inline_and_synthetic_rows_are_trained_on_as_they_came() -> None:
    assert load_data(read_small_spec(data=REGRESSION), CPU).scaling is None


def test_an_example_is_standardised_by_its_training_rows_alone() -> None:
    data = load_data(read_small_spec(data=DIGITS, validation={"fraction": 0.2}), CPU)
    assert data.held_out is not None and data.scaling is not None
    assert (len(data.training.inputs), len(data.held_out.inputs)) == (1438, 359)
    x = data.training.inputs.double()
    varying = x.std(0) > 0
    assert torch.allclose(x.mean(0), torch.zeros(64).double(), atol=1e-6)
    assert torch.allclose(x.std(0, correction=0)[varying], torch.ones(1).double(), atol=1e-6)
    assert not varying[0] and data.scaling.deviation[0] == 1  # a corner that is always white
    assert abs(float(data.held_out.inputs.mean())) > 1e-5


def test_rows_are_held_out_by_the_seed_and_never_trained_on() -> None:
    def split(seed: int) -> tuple[set[float], set[float]]:
        spec = read_small_spec(data=REGRESSION, validation={"fraction": 0.25}, seed=seed)
        data = load_data(spec, CPU)
        assert data.held_out is not None
        return set(data.training.inputs[:, 0].tolist()), set(data.held_out.inputs[:, 0].tolist())

    training, held_out = split(1)
    assert (len(training), len(held_out)) == (30, 10) and not training & held_out
    assert split(1) == (training, held_out) and split(2)[1] != held_out


@pytest.mark.parametrize("shuffle", [True, False])
def test_an_epoch_has_every_row_once(shuffle: bool) -> None:
    training = start_training(
        read_small_spec(data={**REGRESSION, "shuffle": shuffle}, batch_size=7)
    )
    batches, rows = (
        training.trainer.batches,
        load_data(read_small_spec(data=REGRESSION), CPU).training,
    )
    for first in (1, 7, 13):
        seen = [batches.batch(tick).inputs.clone() for tick in range(first, first + 6)]
        together = torch.cat(seen)
        assert torch.equal(together, rows.inputs) != shuffle
        assert sorted(together[:, 0].tolist()) == sorted(rows.inputs[:, 0].tolist())


def test_the_order_is_a_function_of_seed_and_epoch_whatever_was_asked_before() -> None:
    batches = start_training(read_small_spec(data=REGRESSION, batch_size=7)).trainer.batches
    late = batches.batch(15).inputs.clone()
    batches.batch(2)
    assert torch.equal(batches.batch(15).inputs, late)
    assert not torch.equal(batches.epoch_order(0), batches.epoch_order(1))
    other = start_training(read_small_spec(data=REGRESSION, batch_size=7, seed=1)).trainer.batches
    assert not torch.equal(batches.epoch_order(0), other.epoch_order(0))


def test_a_shuffled_batch_lies_at_one_aligned_place() -> None:
    batches = start_training(read_small_spec(data=REGRESSION, batch_size=7)).trainer.batches
    places = {batches.batch(tick).inputs.data_ptr() for tick in range(1, 13)}
    assert len(places) == 1 and places.pop() % 64 == 0


def test_inputs_and_targets_stay_together_when_shuffled() -> None:
    batches = start_training(read_small_spec(data=REGRESSION, batch_size=7)).trainer.batches
    rows = batches.rows
    of = {float(x): float(y) for x, y in zip(rows.inputs[:, 0], rows.targets[:, 0], strict=True)}
    for tick in range(1, 7):
        batch = batches.batch(tick)
        assert [of[float(x)] for x in batch.inputs[:, 0]] == batch.targets[:, 0].tolist()


def test_the_digits_file_is_what_its_profile_says() -> None:
    spec = read_small_spec(data=DIGITS)
    rows = load_data(spec, CPU).training
    profile = spec.profile
    assert rows.inputs.shape == (profile.rows, profile.features) == (1797, 64)
    assert np.unique(rows.targets.numpy()).tolist() == list(range(10))
    assert (profile.outputs, profile.classes, profile.kind) == (10, 10, "class")
