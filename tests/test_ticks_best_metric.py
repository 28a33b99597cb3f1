"""Rules that go by a metric: the best checkpoint, patience, target; undefined values among them."""

import math
from typing import Any

import pytest

from jobs.spec.job_spec import JobSpec
from jobs.spec.metrics import HIGHER_IS_BETTER, better_mode
from tests.training_records import read_small_spec, run_and_record, start_training
from ticks.best import BestMetric, find_better

CLASSES = {"source": "synthetic", "kind": "classification", "samples": 80, "features": 2, "seed": 3}
HELD_OUT = {"fraction": 0.25, "every_ticks": 5}


def spec_of(**changes: Any) -> JobSpec:
    fields: dict[str, Any] = {"data": CLASSES, "budget": {"ticks": 60}, "validation": HELD_OUT}
    return read_small_spec(**fields | changes)


@pytest.mark.parametrize(
    "metric, mode",
    [("val_auc", None), ("val_macro_f1", "max"), ("val_loss", "max"), ("val_accuracy", "min")],
)
def test_the_best_is_the_first_of_the_best_values_of_its_metric(
    metric: str, mode: str | None
) -> None:
    spec = spec_of(checkpoint={"best": {"metric": metric, "mode": mode}})
    training = start_training(spec)
    record = run_and_record(training)
    values = {tick: float(value) for name, tick, value in record.sparse if name == metric}
    is_max = (mode or better_mode(metric)) == "max"
    best = max(values.values()) if is_max else min(values.values())
    first = min(tick for tick, value in values.items() if value == best)
    assert training.best is not None
    assert (training.best["metric"], training.best["tick"]) == (metric, first)
    assert training.best["value"] == training.best["metrics"][metric] == best
    assert set(training.best["metrics"]) == set(spec.metric_names)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("mode", ["min", "max"])
def test_an_undefined_value_is_never_the_best_and_is_null_beside_one(
    value: float, mode: str
) -> None:
    spec = spec_of(checkpoint={"best": {"metric": "val_auc", "mode": mode}})
    assert find_better(spec, None, {"val_auc": value, "val_loss": 1.0}, 5) is None
    best = find_better(spec, None, {"val_auc": 0.5, "val_loss": value}, 5)
    metrics = {"val_auc": 0.5, "val_loss": None}
    assert best == BestMetric(metric="val_auc", tick=5, value=0.5, metrics=metrics)


def test_a_metric_that_is_never_defined_ends_by_patience_and_has_no_best() -> None:
    targets = [0.0] * 15 + [float(row) for row in range(25)]
    data = {"source": "inline", "inputs": [[float(row)] for row in range(40)], "targets": targets}
    held_out = {"fraction": 0.25, "split": "last", "every_ticks": 5}
    rows = dict(zip(("inputs", "targets"), (data["inputs"], targets[::-1]), strict=True))
    stop = {"patience": {"metric": "val_r2", "ticks": 10}}
    spec = spec_of(data={**data, **rows}, validation=held_out, stop=stop)  # the last 15 are 0
    training = start_training(spec)
    record = run_and_record(training)
    assert (record.ended, record.tick, training.best) == ("patience", 10, None)
    assert {value for name, _, value in record.sparse if name == "val_r2"} == {"nan"}


def test_rules_read_any_metric_of_the_objective() -> None:
    ends = {
        "target": {"target": {"metric": "val_macro_f1", "above": 0.1}},
        "patience": {"patience": {"metric": "val_auc", "ticks": 15}},
        "converged": {"converged": {"metric": "val_accuracy", "window": 10, "rel_change": 10.0}},
    }
    assert {run_and_record(start_training(spec_of(stop=stop))).ended for stop in ends.values()} == {
        *ends
    }


@pytest.mark.parametrize("metric", ["val_accuracy", "val_auc", "val_macro_f1", "val_loss"])
def test_the_best_goes_by_the_metric_that_patience_names_unless_told(metric: str) -> None:
    stop = {"patience": {"metric": metric, "ticks": 50}}
    assert spec_of(stop=stop).best_metric == (metric, better_mode(metric))
    named = spec_of(stop=stop, checkpoint={"best": {"metric": "val_accuracy"}})
    assert named.best_metric == ("val_accuracy", "max")


def test_only_the_metrics_that_validation_names_are_recorded_and_the_loss() -> None:
    spec = spec_of(validation={**HELD_OUT, "metrics": ["val_auc"]}, test={"fraction": 0.2})
    record = run_and_record(start_training(spec))
    names = [name for name, tick, _ in record.sparse if tick == 60]
    tested = [f"test_{name}" for name in ("loss", "accuracy", "macro_f1", "auc")]
    assert names == ["val_loss", "val_auc", "state", *tested]


def test_every_metric_says_which_way_is_better() -> None:
    names = {
        name
        for data in (CLASSES, {"source": "synthetic", "kind": "regression"})
        for name in spec_of(data=data).metric_names
    }
    assert names >= HIGHER_IS_BETTER
    assert {name for name in names if better_mode(name) == "min"} == {
        "val_loss", "val_mae", "val_rmse",
    }  # fmt: skip
