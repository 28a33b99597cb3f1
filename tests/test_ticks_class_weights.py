"""Class weights and label smoothing: torch's cross entropy, over a whole batch and in parts."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from jobs.spec.job_spec import JobSpec
from tests.training_records import read_small_spec, run_and_record, start_training
from ticks import state_files
from ticks.answers.nets import CheckpointFiles, hash_file, load_net
from ticks.metrics.evaluation import RowEvaluation, make_metrics
from ticks.net_config import criterion_of
from ticks.objectives import LossSum
from ticks.trainer import show_nothing
from ticks.training import TrainingRun

#: class 7 is rare; of class 9 no row is trained on
TARGETS = [3, 3, 3, 3, 7, 3, 3, 3, 3, 7] * 4 + [9]
INPUTS = [[float(row % 7), float(row % 5), float(target)] for row, target in enumerate(TARGETS)]


def weighted_spec(**changes: Any) -> JobSpec:
    fields: dict[str, Any] = {
        "model": {"family": "mlp", "hidden": [6], "norm": "none"},
        "data": {"source": "inline", "inputs": INPUTS, "targets": TARGETS},
        "objective": "cross_entropy",
        "class_weights": {"7": 5.0},
        "label_smoothing": 0.2,
        "budget": {"ticks": 12},
        "batch_size": 11,
        "validation": {"fraction": 0.3, "split": "last", "every_ticks": 5},
    }
    return read_small_spec(**fields | changes)


def torch_loss(training: TrainingRun, rows: Any, weights: list[float] | None) -> torch.Tensor:
    weight = None if weights is None else torch.tensor(weights)
    smoothing = training.spec.label_smoothing
    outputs = training.trainer.forward(rows.inputs)
    return F.cross_entropy(outputs, rows.targets, weight, label_smoothing=smoothing)


@pytest.mark.parametrize("parts", [1, 2, 3, 11])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_a_tick_of_any_parts_has_the_loss_and_gradient_of_torchs_whole_batch(
    parts: int, smoothing: float
) -> None:
    training = start_training(weighted_spec(micro_batches=parts, label_smoothing=smoothing))
    trainer = training.trainer
    batch = trainer.batches.batch(1)
    assert len(set(batch.targets.tolist())) > 1  # or the weights would not show
    expected = torch_loss(training, batch, [1.0, 5.0, 1.0])
    gradients = torch.autograd.grad(expected, trainer.parameters)

    result = trainer.forward_backward(batch)

    assert result.loss.item() == pytest.approx(expected.item(), rel=1e-6)
    for ours, torchs in zip(result.gradients, gradients, strict=True):
        assert torch.allclose(ours, torchs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("weights", [None, "balanced", {"7": 5.0, "9": 0.25}])
def test_a_validation_has_the_mean_loss_of_torch_over_all_held_out_rows(weights: Any) -> None:
    training = start_training(weighted_spec(class_weights=weights))
    run_and_record(training)
    rows = next(iter(training.held_out.blocks()))  # type: ignore[union-attr]
    with torch.no_grad():
        expected = torch_loss(training, rows, training.trainer.class_weights)
    assert training.metrics["val_loss"] == pytest.approx(expected.item(), rel=1e-6)


def test_balanced_weights_are_rows_by_classes_and_rows_of_the_class() -> None:
    training = start_training(weighted_spec(class_weights="balanced"))
    # the last 12 rows are held out: 29 are trained on, 24 of class 3 and 5 of class 7
    assert training.trainer.class_weights == [29 / (2 * 24), 29 / (2 * 5), 1.0]


def test_weights_by_name_are_in_the_order_of_the_classes_and_1_unless_named() -> None:
    training = start_training(weighted_spec(class_weights={"9": 2.0, "3": 0.5}))
    assert training.trainer.class_weights == [0.5, 1.0, 2.0]


def test_weights_change_what_is_learned_and_their_absence_changes_no_bit() -> None:
    plain, weighted = (
        run_and_record(start_training(weighted_spec(class_weights=weights, label_smoothing=0.0)))
        for weights in (None, {"7": 5.0})
    )
    ones = start_training(weighted_spec(class_weights={"3": 1.0}, label_smoothing=0.0))
    assert plain.state != weighted.state
    assert run_and_record(ones).columns["loss"] == plain.columns["loss"]


@pytest.mark.parametrize("changes", [{}, {"class_weights": None, "label_smoothing": 0.0}])
def test_a_checkpoint_knows_the_loss_and_metrics_that_it_was_validated_by(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    training = start_training(weighted_spec(**changes))
    run_and_record(training)
    state_files.save(training, tmp_path)
    names = (state_files.CONFIG, state_files.WEIGHTS)
    digests = [hash_file(tmp_path / name, show_nothing) for name in names]
    net = load_net(CheckpointFiles(tmp_path, *digests), 1, show_nothing)

    loss, sums = LossSum(criterion_of(net.config)), make_metrics(net.config)
    rows = next(iter(training.held_out.blocks()))  # type: ignore[union-attr]
    with torch.no_grad():
        outputs = net.network(rows.inputs)
    loss.add(outputs, rows.targets)
    sums.add(outputs, rows.targets)

    metrics = RowEvaluation(loss.mean, sums).metrics
    assert {f"val_{name}": value for name, value in metrics.items()} == training.metrics
