"""The test at the end: evaluated once, on the best state, without a trace in the training."""

from itertools import repeat
from pathlib import Path
from typing import Any

import pytest
import torch

from jobs.spec.job_spec import JobSpec
from tests.needs import needs
from tests.training_records import (
    RunRecord,
    read_small_spec,
    resume_training,
    run_and_record,
    start_training,
)
from ticks import state_files
from ticks.metrics.evaluation import RowEvaluation, make_metrics
from ticks.state import state_digest

ENGINES = ["eager", "graph", pytest.param("native", marks=needs("gcc"))]
#: the validation loss is lowest in the middle: a rate that destroys what was learned
CLASSES = [row % 3 for row in range(60)]
INPUTS = [[float(row % 3), float(row % 7), 1.0] for row in range(60)]


def spec_with_test(engine: str = "eager", **changes: Any) -> JobSpec:
    fields: dict[str, Any] = {
        "model": {"family": "mlp", "hidden": [6], "norm": "none"},
        "data": {"source": "inline", "inputs": INPUTS, "targets": CLASSES},
        "objective": "cross_entropy",
        "optimizer": {"name": "sgd", "lr": 3.0},
        "budget": {"ticks": 40},
        "validation": {"fraction": 0.2, "every_ticks": 4},
        "test": {"fraction": 0.3},
        "compute": {"engine": engine},
        "batch_size": 5,
        "seed": 3,
    }
    return read_small_spec(**fields | changes)


def points_of_test(record: RunRecord) -> list[tuple[str, int, str]]:
    return [point for point in record.sparse if point[0].startswith("test_")]


def evaluate_at(spec: JobSpec, tick: int) -> dict[str, float]:
    """The metrics of the test's rows after so many ticks."""
    training = start_training(spec)
    run_and_record(training, until=tick)
    assert training.final_test is not None
    sums = make_metrics(training.net_config)
    loss = training.engine.evaluate(training.final_test.rows, sums)
    return {f"test_{name}": value for name, value in RowEvaluation(loss, sums).metrics.items()}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("keep_best", [True, False])
def test_it_is_made_once_at_the_end_on_the_best_state_or_else_the_last(
    engine: str, keep_best: bool
) -> None:
    spec = spec_with_test(engine, checkpoint={"keep_best": keep_best})
    training = start_training(spec)
    record = run_and_record(training)
    assert training.best is not None and training.best["tick"] < 40
    expected = evaluate_at(spec, training.best["tick"] if keep_best else 40)
    assert points_of_test(record) == [(name, 40, repr(value)) for name, value in expected.items()]
    names = ("loss", "accuracy", "macro_f1")
    assert list(training.metrics) == [
        f"{part}_{name}" for part in ("val", "test") for name in names
    ]


def test_without_a_validation_it_is_made_on_the_last_state() -> None:
    spec = spec_with_test(validation=None)
    assert dict(start_and_end(spec)) == evaluate_at(spec, 40)


def start_and_end(spec: JobSpec) -> dict[str, float]:
    training = start_training(spec)
    run_and_record(training)
    return training.metrics


@pytest.mark.parametrize("engine", ENGINES)
def test_it_leaves_no_trace_in_the_state(engine: str) -> None:
    spec = spec_with_test(engine)
    training = start_training(spec)
    run_and_record(training, until=22)
    before, weights = state_digest(training.trainer), list(training.trainer.net.parameters())
    assert training.validate().sparse[-1][0] == "test_macro_f1"
    assert state_digest(training.trainer) == before
    assert all(map(lambda a, b: a is b, weights, training.trainer.net.parameters()))
    assert training.validate().sparse == []  # once
    rest = run_and_record(training)
    assert rest.state == run_and_record(start_training(spec)).state


@pytest.mark.parametrize("engine", ENGINES)
def test_resumed_at_any_tick_it_is_that_of_the_straight_training(
    engine: str, tmp_path: Path
) -> None:
    spec = spec_with_test(engine)
    straight = run_and_record(start_training(spec), repeat(7))
    for tick in (1, 4, 9, 16, 39, 40):
        first = start_training(spec)
        run_and_record(first, until=tick)
        folder = tmp_path / f"{tick}"
        folder.mkdir()
        state_files.save(first, folder)
        again = resume_training(spec, folder)
        rest = run_and_record(again)
        assert rest.state == straight.state
        assert again.metrics == start_and_end(spec)
        assert points_of_test(rest) == ([] if tick == 40 else points_of_test(straight))


def test_a_loss_that_is_never_finite_leaves_the_last_state_to_test() -> None:
    spec = spec_with_test(
        data={"source": "inline", "inputs": [[1e30, -1e30]] * 60, "targets": CLASSES},
        stop={"on_nonfinite": "skip"}, optimizer={"name": "sgd", "lr": 10.0},
        budget={"ticks": 4},
    )  # fmt: skip
    training = start_training(spec)
    record = run_and_record(training)
    assert training.best is None and [name for name, _, _ in points_of_test(record)] == [
        "test_loss",
        "test_accuracy",
        "test_macro_f1",
    ]


def test_only_its_own_rows_are_tested() -> None:
    training = start_training(spec_with_test())
    assert training.final_test is not None
    rows = training.final_test.rows
    (block,) = rows.blocks()
    assert len(block.inputs) == 18
    assert torch.bincount(block.targets).tolist() == [6, 6, 6]
