"""Columns of a table as a net takes them: scaled, filled, encoded, and told apart."""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from jobs.datasets.rows import iter_rows
from jobs.spec.stored import read_stored_spec
from jobs.store.connection import Store
from tests.dataset_home import Home, import_model_file
from tests.datasets import CSV, JSONL, NPZ, csv_of, jsonl_of, npz_of
from tests.training_records import CPU, read_small_spec
from ticks import state_files
from ticks.data.load import load_data

PRICES = [{"area": 40.0 + at, "price": 5000.0 + 4000.0 * at} for at in range(40)]
GAPS = (
    b"age,zip,seen,y\n"
    b"20,02134,2020-01-01,1.5\n"
    b"NA,00501,2020-01-02,2.5\n"
    b"30,02134,2020-01-03T12:00:00Z,3.5\n"
    b"70, ,2020-01-04,4.5\n"
    b"40,00501,NA,9.5\n"
)


@pytest.fixture
def home(store: Store, tmp_path: Path) -> Home:
    return Home(store, tmp_path / "artifacts")


def rows_of(home: Home, spec: Any) -> tuple[list[list[float]], list[list[float]]]:
    """The inputs and the targets that a spec trains on."""
    rows: Any = load_data(spec, CPU, home.folder).training
    return rows.inputs.tolist(), rows.targets.tolist()


def import_model(home: Home, spec: Any, folder: Path, ticks: int = 2) -> ModuleType:
    """Train a few ticks and import the checkpoint's model.py."""
    training = home.training(spec)
    training.run(ticks)
    folder.mkdir()
    state_files.save(training, folder)
    return import_model_file(folder)


def test_targets_are_scaled_by_the_training_rows_and_predictions_are_in_their_units(
    home: Home, tmp_path: Path
) -> None:
    spec = home.spec(home.add(csv_of(PRICES)), "price", validation={"fraction": 0.25})
    training = home.training(spec)
    targets: Any = training.trainer.batches.rows.targets.flatten().numpy()  # type: ignore[attr-defined]
    scale = training.target_scaling
    assert scale is not None and spec.is_target_scaled
    assert abs(targets.mean()) < 1e-6 and abs(targets.std() - 1) < 1e-6

    model = import_model(home, spec, tmp_path / "scaled")
    network = model.load()
    (predicted,) = model.predict([PRICES[7]])
    output = network(model.prepare(model.encode([PRICES[7]]))).item()
    assert predicted["value"] == pytest.approx(output * scale.deviation[0] + scale.mean[0])
    saved = json.loads((tmp_path / "scaled" / "config.json").read_text())["target_scale"]
    assert (saved["mean"], saved["deviation"]) == (scale.mean.tolist(), scale.deviation.tolist())


def test_a_prediction_does_not_depend_on_the_records_beside_it(home: Home, tmp_path: Path) -> None:
    spec = home.spec(home.add(csv_of(PRICES)), "price")
    model = import_model(home, spec, tmp_path / "blocks")

    together = model.predict(PRICES)
    assert [model.predict([record])[0] for record in PRICES] == together


def test_a_classifier_predicts_names_and_probabilities(home: Home, tmp_path: Path) -> None:
    rows: Any = [{"x": float(at), "kind": "even" if at % 2 else "odd"} for at in range(20)]
    spec = home.spec(home.add(csv_of(rows)), "kind")
    (predicted,) = import_model(home, spec, tmp_path / "classes").predict([{"x": 3.0}])

    assert set(predicted["probabilities"]) == {"even", "odd"}
    assert predicted["class"] == max(predicted["probabilities"], key=predicted["probabilities"].get)
    assert sum(predicted["probabilities"].values()) == pytest.approx(1)


def test_a_constant_column_keeps_its_scale(home: Home) -> None:
    rows = [{"k": 0.1, "x": float(at), "y": at / 3} for at in range(3)]
    training = home.training(home.spec(home.add(csv_of(rows)), "y", batch_size=3))

    assert training.scaling is not None
    assert (training.scaling.mean[0], training.scaling.deviation[0]) == (0.1, 1.0)
    assert training.trainer.batches.rows.inputs[:, 0].tolist() == [0, 0, 0]  # type: ignore[attr-defined]


@pytest.mark.parametrize(("policy", "fill"), [("mean", 40.0), ("median", 35.0)])
def test_gaps_are_filled_and_shown_to_the_net(
    home: Home, tmp_path: Path, policy: str, fill: float
) -> None:
    dataset = home.add(GAPS)
    data = {"missing": policy, "types": {"zip": "category"}, "standardize": False}
    spec = home.spec(dataset, "y", data={**data, "shuffle": False}, batch_size=5)
    inputs, _ = rows_of(home, spec)
    new_year = 1_577_836_800.0
    times = [new_year, new_year + 86_400, new_year + 2.5 * 86_400, new_year + 3 * 86_400]
    time_fill = float(np.mean(times) if policy == "mean" else np.median(times))

    assert [row[:2] for row in inputs] == [[20, 0], [fill, 1], [30, 0], [70, 0], [40, 0]]
    assert [row[2:5] for row in inputs] == [[0, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]]
    assert [row[6] for row in inputs] == [0, 0, 0, 0, 1]
    assert [row[5] for row in inputs] == [np.float32(at) for at in [*times, time_fill]]

    names, *lines = GAPS.decode().splitlines()
    records = [dict(zip(names.split(","), line.split(","), strict=True)) for line in lines]
    encoded = import_model(home, spec, tmp_path / policy).encode(records)
    assert encoded.float().tolist() == inputs, "the rows of its own file, as they were uploaded"


def test_rows_with_gaps_in_what_is_used_are_dropped_before_the_split(home: Home) -> None:
    dataset, used = home.add(GAPS), {"missing": "drop", "features": ["age", "seen"]}
    spec = home.spec(dataset, "y", data={**used, "shuffle": False}, batch_size=2)
    assert (spec.profile.rows, spec.batch_size) == (3, 2)

    _, targets = rows_of(home, spec.model_copy(update={"data": spec.data.model_copy(
        update={"standardize_target": False})}))  # fmt: skip
    assert targets == [[1.5], [3.5], [4.5]]
    all_used = home.spec(dataset, "y", data={"missing": "drop"}, batch_size=2)
    assert all_used.profile.rows == 2


def test_a_class_that_only_a_second_dataset_has_may_be_ignored(home: Home) -> None:
    train = home.add(csv_of([{"c": "ab"[at % 2], "y": at / 2} for at in range(8)]))
    second = home.add(csv_of([{"c": "abc"[at % 3], "y": at / 2} for at in range(8)]))
    spec = home.spec(train, "y", validation={"id": second}, batch_size=8,
                     data={"unseen": "ignore"})  # fmt: skip

    held_out: Any = load_data(spec, CPU, home.folder).held_out
    assert held_out.inputs[:3].tolist() == [[1, 0], [0, 1], [0, 0]]


def test_a_category_keeps_its_spelling_and_a_file_of_digits_is_read_as_the_first_one(
    home: Home,
) -> None:
    train = home.add(b"size,x,y\nS,1,0\nM,2,1\n38,3,0\n40,4,1\n")
    second = home.add(b"size,x,y\n38,1.5,0\n40,2.5,1\n")
    spec = home.spec(train, "y", validation={"id": second}, batch_size=4)

    held_out: Any = load_data(spec, CPU, home.folder).held_out
    assert held_out.inputs[:, :4].tolist() == [[1, 0, 0, 0], [0, 1, 0, 0]]


@pytest.mark.parametrize("objective", ["mse", "cross_entropy"])
def test_equal_numbers_make_equal_nets_in_every_form(home: Home, objective: str) -> None:
    rng = np.random.default_rng(5)
    inputs, targets = rng.standard_normal((30, 2)) * 7 + 100, rng.choice([0, 5, 9], 30)
    rows: Any = [
        {"a": float(a), "b": float(b), "y": int(y)}
        for (a, b), y in zip(inputs, targets, strict=True)
    ]
    fields = {"objective": objective, "batch_size": 8, "budget": {"ticks": 12},
              "validation": {"fraction": 0.2, "split": "random"}}  # fmt: skip
    specs = [
        home.spec(home.add(csv_of(rows), CSV), "y", **fields),
        home.spec(home.add(jsonl_of(rows), JSONL), "y", **fields),
        home.spec(home.add(npz_of(inputs=inputs, targets=targets), NPZ), None, **fields),
        read_small_spec(**fields, data={
            "source": "inline", "inputs": inputs.tolist(), "targets": targets.tolist(),
            "standardize": True, "standardize_target": objective == "mse",
        }),
    ]  # fmt: skip
    assert {spec.profile.outputs for spec in specs} == {3 if objective == "cross_entropy" else 1}
    digests = set()
    for spec in specs:
        same_net = spec.model_copy(update={"model": specs[0].model})
        training = home.training(same_net)
        training.run(12)
        rows_trained: Any = training.trainer.batches.rows  # type: ignore[attr-defined]
        digests.add((rows_trained.inputs.numpy().tobytes(), rows_trained.targets.numpy().tobytes(),
                     tuple(training.metrics.items())))  # fmt: skip
    assert len(digests) == 1


def test_the_first_revision_keeps_its_rules(home: Home) -> None:
    rows = [{"k": 0.1, "x": float(at), "y": 100.0 + at} for at in range(3)]
    spec = home.spec(home.add(csv_of(rows)), "y", batch_size=3)
    stored = {**spec.to_stored(), "validation": {"fraction": 0.5, "every_ticks": 10}}
    del stored["revision"], stored["data"]["standardize_target"]
    old = read_stored_spec(stored)
    assert old.validation is not None and old.validation.split == "random"
    old = old.model_copy(update={"validation": None})
    training = home.training(old)

    assert not old.is_target_scaled and training.target_scaling is None
    assert training.scaling is not None and 0 < training.scaling.deviation[0] < 1e-16
    inline = read_small_spec(data={"source": "inline", "inputs": [[1.0], [2.0], [3.0]],
                                   "targets": [0, 5, 9]}, objective="cross_entropy",
                             batch_size=3)  # fmt: skip
    old_inline = read_stored_spec({**inline.to_stored(), "revision": 1})
    assert (inline.profile.outputs, old_inline.profile.outputs) == (3, 10)
    targets: Any = load_data(old_inline, CPU).training
    assert targets.targets.tolist() == [0, 5, 9]
    assert torch.equal(load_data(inline, CPU).training.targets, torch.tensor([0, 1, 2]))  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", [CSV, JSONL])
def test_model_py_encodes_every_row_of_its_file_as_uploaded_and_as_shown(
    home: Home, tmp_path: Path, kind: Any
) -> None:
    rows: Any = [
        {"zip": "02134" if kind == CSV else "a\r\nb", "n": 1.5 + at % 2, "on": at % 2 == 0,
         "y": at / 7}
        for at in range(8)
    ]  # fmt: skip
    data = {"types": {"zip": "category", "n": "category"}, "shuffle": False, "standardize": False}
    dataset = home.add((csv_of if kind == CSV else jsonl_of)(rows), kind)
    spec = home.spec(dataset, "y", data=data, batch_size=8)
    inputs, _ = rows_of(home, spec)
    model = import_model(home, spec, tmp_path / "rows")

    record = home.datasets.find("a", dataset)
    with home.datasets.open("a", record) as file:
        shown = list(iter_rows(file, record, 0))
    uploaded = [{name: str(value) for name, value in row.items()} for row in rows]
    if kind == JSONL:
        uploaded = rows
    for records in (uploaded, shown):
        assert model.encode(records).float().tolist() == inputs


def test_a_category_of_numbers_takes_them_as_the_service_shows_its_rows(
    home: Home, tmp_path: Path
) -> None:
    dataset = home.add(b"zip,size,y\n02134,1.50,1\n00501,2.50,2\n10001,1.50,4\n")
    types = {"zip": "category", "size": "category"}
    spec = home.spec(dataset, "y", data={"types": types, "unseen": "ignore"}, batch_size=3)
    model = import_model(home, spec, tmp_path / "spellings")

    written = [{"zip": "02134", "size": "1.50"}, {"zip": "10001", "size": "2.50"}]
    shown = [{"zip": 2134.0, "size": 1.5}, {"zip": 10001.0, "size": 2.5}]
    assert model.encode(shown).tolist() == model.encode(written).tolist()
    assert model.encode([{"zip": "2134", "size": 3}]).sum() == 0, "a text keeps its spelling"


def test_a_category_with_decimal_commas_takes_numbers(home: Home, tmp_path: Path) -> None:
    options = {"decimal": "comma", "thousands": "point", "delimiter": "semicolon"}
    dataset = home.add(b"a;y\n1.234,50;1\n2,5;2\n7;4\n", **options)
    spec = home.spec(dataset, "y", data={"types": {"a": "category"}}, batch_size=3)
    model = import_model(home, spec, tmp_path / "commas")

    written, shown = [{"a": "1.234,50"}, {"a": "2,5"}], [{"a": 1234.5}, {"a": 2.5}]
    assert model.encode(shown).tolist() == model.encode(written).tolist()


def test_a_number_that_stands_for_two_spellings_is_none_of_them(home: Home, tmp_path: Path) -> None:
    dataset = home.add(b"zip,y\n02134,1\n2134,2\n10001,4\n")
    spec = home.spec(dataset, "y", data={"types": {"zip": "category"}}, batch_size=3)
    model = import_model(home, spec, tmp_path / "doubtful")

    assert model.encode([{"zip": 2134}]).tolist() == model.encode([{"zip": "2134"}]).tolist()
    with pytest.raises(ValueError, match="2134.0 is none of"):
        model.encode([{"zip": 2134.0}])


def test_a_list_of_numbers_is_taken_as_it_was_uploaded(home: Home, tmp_path: Path) -> None:
    rows = [{"v": None, "y": 1}, *({"v": [at, None if at == 3 else 2], "y": at} for at in range(5))]
    spec = home.spec(home.add(jsonl_of(rows), JSONL), "y", data={"missing": "mean"}, batch_size=6)
    model = import_model(home, spec, tmp_path / "lists")

    columns = [{f"v[{at}]": row["v"] and row["v"][at] for at in range(2)} for row in rows]
    assert model.encode(rows).tolist() == model.encode(columns).tolist()
    with pytest.raises(ValueError, match=r"v\[1\]: the list of 1 numbers is too short"):
        model.encode([{"v": [1]}])


def test_digits_in_groups_are_read_as_in_the_training(home: Home, tmp_path: Path) -> None:
    dataset = home.add(b'a,y\n"1,234",1\n"12",2\n"1,234,567.5",4\n', thousands="comma")
    spec = home.spec(dataset, "y", batch_size=3)
    model = import_model(home, spec, tmp_path / "groups")

    assert model.encode([{"a": "1,234,567.5"}, {"a": " 12 "}]).tolist() == [[1_234_567.5], [12]]
    for text in ("1,5", "0,634", "1,2345"):
        with pytest.raises(ValueError, match=text):
            model.encode([{"a": text}])
