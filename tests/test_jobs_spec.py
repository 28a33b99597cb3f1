"""Reading a spec: allowed fields, rules between fields, and defaults."""

import json
from typing import Any

import pytest

from jobs.spec.base import FieldError, InvalidSpec
from jobs.spec.data import REVISION
from jobs.spec.job_spec import JobSpec
from jobs.spec.reading import read_spec
from jobs.spec.stored import read_stored_spec
from tests.support import small_spec

INLINE = {"source": "inline", "inputs": [[1, 2], [3, 4], [5, 6]], "targets": [0, 1, 2]}
CLASSES = {"source": "synthetic", "kind": "classification", "samples": 40, "features": 2}
HALF = {"fraction": 0.5}


def read(most: int = 10**9, **changes: Any) -> JobSpec:
    return read_spec(small_spec(**changes), max_parameters=most)


def faults(most: int = 10**9, **changes: Any) -> list[FieldError]:
    with pytest.raises(InvalidSpec) as caught:
        read(most, **changes)
    return caught.value.errors


# what is changed in a good spec -> where the fault is
WRONG: dict[str, tuple[str, dict[str, Any]]] = {
    "unknown field": ("/colour", {"colour": "red"}),
    "unknown inner field": ("/optimizer/speed", {"optimizer": {"name": "sgd", "speed": 1}}),
    "text for a number": ("/optimizer/lr", {"optimizer": {"name": "sgd", "lr": "0.1"}}),
    "true for a number": ("/seed", {"seed": True}),
    "a broken count": ("/batch_size", {"batch_size": 1.5}),
    "nothing to be done": ("/budget", {"budget": {}}),
    "no ticks": ("/budget/ticks", {"budget": {"ticks": 0}}),
    "too many ticks": ("/budget/ticks", {"budget": {"ticks": 10**9 + 1}}),
    "too short a time": ("/budget/seconds", {"budget": {"seconds": 0.5}}),
    "lr of nothing": ("/optimizer/lr", {"optimizer": {"lr": 0}}),
    "lr too high": ("/optimizer/lr", {"optimizer": {"lr": 10.5}}),
    "momentum of 1": ("/optimizer/momentum", {"optimizer": {"name": "sgd", "momentum": 1}}),
    "nesterov alone": ("/optimizer", {"optimizer": {"name": "sgd", "nesterov": True}}),
    "unknown optimizer": ("/optimizer/name", {"optimizer": {"name": "lion"}}),
    "a beta of 1": ("/optimizer/betas/1", {"optimizer": {"betas": [0.9, 1]}}),
    "unknown family": ("/model/family", {"model": {"family": "cnn"}}),
    "no layer": ("/model/hidden", {"model": {"family": "mlp", "hidden": []}}),
    "unknown norm": ("/model/norm", {"model": {"family": "mlp", "norm": "instance"}}),
    "dropout of 1": ("/model/dropout", {"model": {"family": "mlp", "dropout": 1}}),
    "unknown source": ("/data/source", {"data": {"source": "s3"}}),
    "unknown example": ("/data/name", {"data": {"source": "example", "name": "cats"}}),
    "a path for a name": ("/data/name", {"data": {"source": "example", "name": "../digits"}}),
    "ragged rows": ("/data/inputs/1", {"data": {**INLINE, "inputs": [[1, 2], [3], [5, 6]]}}),
    "too few targets": ("/data/targets", {"data": {**INLINE, "targets": [0, 1]}}),
    "mixed targets": ("/data/targets/1", {"data": {**INLINE, "targets": [0, [1], 2]}}),
    "no finite number": (
        "/data/inputs/0/0",
        {"data": {**INLINE, "inputs": [[1e999, 2], [3, 4], [5, 6]]}},
    ),
    "classes of numbers": ("/objective", {"objective": "cross_entropy"}),
    "numbers of classes": ("/objective", {"objective": "mse", "data": CLASSES}),
    "batch beyond rows": ("/batch_size", {"batch_size": 33}),
    "more parts than rows": ("/micro_batches", {"micro_batches": 9}),
    "nothing held out": ("/validation/fraction", {"validation": {"fraction": 0.01}}),
    "too much held out": ("/validation/fraction", {"validation": {"fraction": 0.6}}),
    "warmup to the end": ("/schedule/warmup_ticks", {"schedule": {"warmup_ticks": 20}}),
    "cosine without an end": (
        "/schedule/name",
        {"schedule": {"name": "cosine"}, "budget": {"seconds": 5}},
    ),
    "patience without validation": (
        "/stop/patience/metric",
        {"stop": {"patience": {"ticks": 5}}},
    ),
    "accuracy of numbers": (
        "/stop/target/metric",
        {"validation": HALF, "stop": {"target": {"metric": "val_accuracy", "above": 0.9}}},
    ),
    "both sides": (
        "/stop/target",
        {"stop": {"target": {"metric": "loss", "below": 1, "above": 2}}},
    ),
    "BatchNorm of one row": (
        "/batch_size",
        {"model": {"family": "mlp", "norm": "batch"}, "batch_size": 1},
    ),
    "BatchNorm with a last row alone": (
        "/batch_size",
        {"model": {"family": "mlp", "norm": "layer+batch"}, "batch_size": 31},
    ),
    "BatchNorm of parts of one row": (
        "/batch_size",
        {"model": {"family": "mlp", "norm": "batch"}, "micro_batches": 8},
    ),
    "a column twice": ("/record", {"record": ["loss", "loss"]}),
    "an unknown column": ("/record/0", {"record": ["speed"]}),
    "too long a name": ("/name", {"name": "n" * 201}),
    "a colon in a label's key": ("/labels/a:b", {"labels": {"a:b": "c"}}),
    "a label of no text": ("/labels/a", {"labels": {"a": 1}}),
    "too many labels": ("/labels", {"labels": {str(n): "" for n in range(33)}}),
    "priority too high": ("/priority", {"priority": 101}),
    "no thread": ("/compute/threads", {"compute": {"threads": 0}}),
    "seed below 0": ("/seed", {"seed": -1}),
    "a clip of 0": ("/clip_norm", {"clip_norm": 0}),
    "a weight of 0": ("/class_weights/0", {"data": CLASSES, "class_weights": {"0": 0}}),
    "unbalanced weights": ("/class_weights", {"data": CLASSES, "class_weights": "unbalanced"}),
    "smoothing of 1": ("/label_smoothing", {"data": CLASSES, "label_smoothing": 1}),
    "an unknown metric": ("/checkpoint/best/metric", {"checkpoint": {"best": {"metric": "f1"}}}),
    "a metric of training": (
        "/validation/metrics/0",
        {"validation": {"fraction": 0.5, "metrics": ["loss"]}},
    ),
    "keep of 0": ("/checkpoint/keep", {"checkpoint": {"keep": 0}}),
}


@pytest.mark.parametrize("kind", list(WRONG))
def test_a_wrong_spec_is_refused_with_the_field_that_is_wrong(kind: str) -> None:
    pointer, changes = WRONG[kind]

    errors = faults(**changes)

    assert [fault.pointer for fault in errors] == [pointer]
    assert errors[0].detail


def test_a_model_beyond_the_servers_limit_is_refused() -> None:
    (fault,) = faults(most=10)

    assert fault.pointer == "/model/hidden" and "10 parameters" in fault.detail


def test_schema_errors_are_all_reported_at_once() -> None:
    data = {"source": "example", "name": "cats"}
    errors = faults(seed=-1, batch_size=0, budget={"ticks": 0}, extra=1, data=data)

    expected = {"/seed", "/batch_size", "/budget/ticks", "/extra", "/data/name"}
    assert {f.pointer for f in errors} == expected


def test_errors_between_valid_fields_are_reported_beside_an_invalid_field() -> None:
    errors = faults(batch_size=33, optimizer={"name": "sgd", "lr": 50}, schedule={"name": "x"})

    assert {f.pointer for f in errors} == {"/optimizer/lr", "/schedule/name", "/batch_size"}
    assert [f.pointer for f in faults(micro_batches=64, batch_size=-1)] == ["/batch_size"]


def test_errors_between_fields_are_all_reported_at_once() -> None:
    errors = faults(
        batch_size=33, micro_batches=34, schedule={"warmup_ticks": 20}, objective="cross_entropy"
    )

    assert {f.pointer for f in errors} == {
        "/batch_size",
        "/micro_batches",
        "/schedule/warmup_ticks",
        "/objective",
    }


@pytest.mark.parametrize("revision", [1, 2])
def test_a_stored_spec_of_an_earlier_revision_has_the_metrics_of_its_time(revision: int) -> None:
    fields = {"data": CLASSES, "validation": HALF, "test": {"fraction": 0.2}}
    patience = {"patience": {"metric": "val_accuracy", "ticks": 5}}
    stored = read(**fields, stop=patience).to_stored()
    stored = {**stored, "revision": revision, "checkpoint": {"keep": 2}}

    spec = read_stored_spec(stored)

    names = [f"{part}_{name}" for part in ("val", "test") for name in ("loss", "accuracy")]
    assert spec.metric_names == names and spec.best_metric == ("val_loss", "min")
    assert read(**fields, stop=patience).best_metric == ("val_accuracy", "max")


def test_a_normalised_spec_reads_back_as_itself() -> None:
    spec = read(validation=HALF, optimizer={"name": "adam", "betas": [0.5, 0.9]}, record=[])
    stored = json.loads(spec.model_dump_json())

    assert read_stored_spec({**stored, "revision": REVISION}) == spec
    assert read_spec(stored, max_parameters=10**9) == spec


def test_defaults_that_hang_on_other_fields_are_filled_in() -> None:
    body = {key: small_spec()[key] for key in ("model", "data")}
    spec = read_spec({**body, "budget": {"epochs": 500}, "validation": HALF}, max_parameters=10**9)

    assert (spec.name, spec.objective, spec.record) == ("mlp", "mse", ["loss"])
    assert (spec.batch_size, spec.training_rows, spec.ticks_per_epoch) == (16, 16, 1)
    assert spec.ticks_total == 500
    assert spec.validation is not None and spec.validation.every_ticks == 100


def test_the_default_objective_fits_the_targets() -> None:
    assert read(data=CLASSES).objective == "cross_entropy"
    assert read(data=INLINE, batch_size=3).objective == "mse"
    assert read(data=INLINE, batch_size=3, objective="cross_entropy").profile.classes == 3


def test_the_smaller_of_ticks_and_epochs_is_the_total() -> None:
    assert read(budget={"ticks": 7, "epochs": 1}).ticks_total == 4
    assert read(budget={"ticks": 3, "epochs": 1}).ticks_total == 3
    assert read(budget={"seconds": 5}).ticks_total is None


def test_an_integer_may_be_spelled_with_a_point() -> None:
    assert read(seed=7.0).seed == 7


def test_the_rate_follows_the_contracts_formula() -> None:
    spec = read(
        budget={"ticks": 10},
        optimizer={"name": "sgd", "lr": 0.5},
        schedule={"name": "linear", "warmup_ticks": 2, "end_factor": 0.2},
    )

    assert [spec.rate(tick) for tick in (1, 2, 3)] == [0.25, 0.5, 0.5]
    assert spec.rate(10) == 0.5 * (1 - 0.8 * 7 / 8)


def test_a_seed_of_more_than_32_bits_is_refused_but_read_in_a_stored_spec() -> None:
    """torch's CPU generator reads 32 bits, so that 0 and 2^32 would train the same net."""
    data = {"source": "synthetic", "kind": "regression", "samples": 40}
    assert read(seed=2**32 - 1, data={**data, "seed": 2**32 - 1}).seed == 2**32 - 1
    errors = faults(seed=2**32, data={**data, "seed": 2**40})
    assert {error.pointer for error in errors} == {"/seed", "/data/seed"}
    stored = read(data=data).to_stored()
    stored["seed"], stored["data"]["seed"] = 2**63 - 1, 2**40
    spec = read_stored_spec(stored)
    assert spec.to_stored() == stored
