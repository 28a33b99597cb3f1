"""Training on uploaded tables and arrays: to the last bit, resumed, standardised, by any form."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from jobs.store.connection import Store
from tests.dataset_home import Home
from tests.datasets import JSONL, NPZ, PARQUET, csv_of, jsonl_of, npz_of, parquet_of
from tests.needs import PYARROW, needs
from tests.processes import running_fork_server
from tests.training_records import run_and_record
from ticks import state_files
from ticks.data.dataset_files import DamagedDataset
from workers.forkserver_client import spawn_trainer
from workers.trainer_client import TrainerClient

COLOURS = ("red", "green", "blue")


def table(rows: int = 60, seed: int = 1) -> list[dict[str, str | float]]:
    """Rows of two numbers and a colour; the class hangs on both kinds."""
    rng = np.random.default_rng(seed)
    table_rows: list[dict[str, str | float]] = []
    for _ in range(rows):
        big, colour = 1.7e9 + 1000 * rng.standard_normal(), COLOURS[rng.integers(3)]
        label = "late" if (big > 1.7e9) != (colour == "red") else "soon"
        small = float(rng.standard_normal())
        table_rows.append({"time": float(big), "small": small, "colour": colour, "label": label})
    return table_rows


@pytest.fixture
def home(store: Store, tmp_path: Path) -> Home:
    return Home(store, tmp_path / "artifacts")


def test_equal_rows_as_csv_and_json_lines_give_equal_bits(home: Home) -> None:
    rows = table()
    forms = [home.add(csv_of(rows)), home.add(jsonl_of(rows), JSONL)]

    one, other = (
        home.train_and_record(home.spec(dataset_id, validation={"fraction": 0.2}))
        for dataset_id in forms
    )

    assert one == other and one.tick == 20


def test_equal_numbers_as_csv_and_npz_give_equal_bits(home: Home) -> None:
    numbers = np.random.default_rng(3).standard_normal((40, 3))
    csv = home.add(csv_of([dict(zip("abc", map(float, row), strict=True)) for row in numbers]))
    npz = home.add(npz_of(inputs=numbers[:, :2], targets=numbers[:, 2]), NPZ)

    assert home.train_and_record(home.spec(csv, "c")) == home.train_and_record(home.spec(npz, None))


@needs(PYARROW)
@pytest.mark.parametrize("objective", ["mse", "cross_entropy"])
def test_equal_numbers_in_any_format_give_equal_bits(home: Home, objective: str) -> None:
    rng = np.random.default_rng(6)
    inputs = rng.standard_normal((50, 3)).astype(np.float32)
    targets = rng.integers(0, 3, 50) if objective == "cross_entropy" else rng.standard_normal(50)
    rows = [
        {**dict(zip("abc", map(float, row), strict=True)), "y": target.item()}
        for row, target in zip(inputs, targets, strict=True)
    ]
    tables = [
        home.add(csv_of(rows)),
        home.add(jsonl_of(rows), JSONL),
        home.add(parquet_of(rows, row_group_size=7), PARQUET),
        home.add(parquet_of({**dict(zip("abc", inputs.T, strict=True)), "y": targets}), PARQUET),
    ]
    arrays = home.add(npz_of(inputs=inputs, targets=targets), NPZ)
    changes = {"objective": objective, "validation": {"fraction": 0.2, "split": "random"}}

    expected = home.train_and_record(home.spec(arrays, None, **changes))
    for table_id in tables:
        assert home.train_and_record(home.spec(table_id, "y", **changes)) == expected


@needs(PYARROW)
def test_vectors_are_learned_as_their_columns(home: Home) -> None:
    vectors = np.random.default_rng(7).standard_normal((40, 3))
    rows = [
        {"v": vector.tolist(), "y": float(vector.sum()), "flag": bool(vector[0] > 0)}
        for vector in vectors
    ]
    flat = [
        {**{f"v[{at}]": value for at, value in enumerate(row["v"])}, "y": row["y"],
         "flag": str(row["flag"]).lower()}
        for row in rows
    ]  # fmt: skip

    expected = home.train_and_record(home.spec(home.add(csv_of(flat)), "y"))
    for data, kind in ((jsonl_of(rows), JSONL), (parquet_of(rows), PARQUET)):
        assert home.train_and_record(home.spec(home.add(data, kind), "y")) == expected


def test_arrays_of_any_order_and_type_give_the_bits_of_the_same_numbers(home: Home) -> None:
    inputs = np.random.default_rng(4).standard_normal((40, 3)).astype(np.float32)
    labels = np.arange(40) % 3
    rows = [
        {**dict(zip("abc", map(float, row), strict=True)), "label": f"{label}"}
        for row, label in zip(inputs, labels, strict=True)
    ]
    forms = [
        npz_of(inputs=inputs, targets=labels),
        npz_of(True, inputs=np.asfortranarray(inputs), targets=labels[:, None]),
        npz_of(inputs=np.asfortranarray(inputs.astype(">f8")), targets=labels.astype(np.float16)),
        npz_of(inputs=inputs.astype(np.float64), targets=np.int8(labels), more=labels),
    ]

    expected = home.train_and_record(home.spec(home.add(csv_of(rows)), objective="cross_entropy"))
    for data in forms:
        spec = home.spec(home.add(data, NPZ), None, objective="cross_entropy")
        assert home.train_and_record(spec) == expected


def test_booleans_are_learned_as_0_and_1(home: Home) -> None:
    inputs = np.random.default_rng(4).random((40, 3)) > 0.5
    forms = [npz_of(inputs=inputs, targets=inputs[:, 0]), npz_of(
        inputs=inputs.astype(np.float64), targets=inputs[:, 0].astype(int))]  # fmt: skip

    one, other = (
        home.train_and_record(home.spec(home.add(data, NPZ), None, objective="cross_entropy"))
        for data in forms
    )

    assert one == other


@pytest.mark.parametrize("held", ["fraction", "id"])
def test_a_resumed_training_equals_a_straight_one(home: Home, tmp_path: Path, held: str) -> None:
    train, check = home.add(csv_of(table())), home.add(csv_of(table(25, seed=2)))
    validation = {"fraction": 0.25} if held == "fraction" else {"id": check}
    spec = home.spec(train, validation={**validation, "every_ticks": 5})
    straight = home.train_and_record(spec)
    first = home.training(spec)
    run_and_record(first, until=9)
    state_files.save(first, tmp_path)

    again = home.training(spec)
    state_files.load(again, tmp_path)

    rest = run_and_record(again)
    assert rest.state == straight.state
    assert straight.columns["loss"].endswith(rest.columns["loss"])
    assert straight.sparse[-len(rest.sparse) :] == rest.sparse


def test_numbers_are_standardised_by_the_training_rows_alone(home: Home, tmp_path: Path) -> None:
    rows = table()
    spec = home.spec(home.add(csv_of(rows)), validation={"fraction": 0.25})
    training = home.training(spec)
    state_files.save(training, tmp_path)

    inputs = training.trainer.batches.rows.inputs.numpy()  # type: ignore[attr-defined]
    assert inputs.shape == (45, 5)
    assert np.abs(inputs[:, :2].mean(axis=0)).max() < 1e-6
    assert np.abs(inputs[:, :2].std(axis=0) - 1).max() < 1e-6
    assert set(inputs[:, 2:].flat) == {0, 1} and (inputs[:, 2:].sum(axis=1) == 1).all()
    saved = load_file(tmp_path / "state.safetensors")
    scale = {name: saved[f"scale/{name}"].numpy() for name in ("mean", "deviation")}
    held_out = training.held_out.inputs.numpy()  # type: ignore[union-attr]
    shown = np.concatenate([inputs, held_out]).astype(np.float64) * scale["deviation"]
    every = sorted(float(row["time"]) for row in rows)
    # numbers of the size of a time keep their differences: float32 alone would lose them
    assert np.allclose(np.sort(shown[:, 0] + scale["mean"][0]), every, rtol=0, atol=0.01)
    assert list(scale["mean"][2:]) == [0] * 3 and list(scale["deviation"][2:]) == [1] * 3


def test_a_checkpoint_names_columns_and_classes(home: Home, tmp_path: Path) -> None:
    state_files.save(home.training(home.spec(home.add(csv_of(table())))), tmp_path)

    config = json.loads((tmp_path / "config.json").read_text())
    assert config["classes"] == ["late", "soon"] and config["target"] == "label"
    assert config["columns"] == [
        {"name": "time", "type": "number"}, {"name": "small", "type": "number"},
        {"name": "colour", "type": "category", "classes": ["blue", "green", "red"]},
    ]  # fmt: skip
    assert len(config["scale"]["mean"]) == config["inputs"] == 5


def test_a_checkpoint_of_other_data_is_refused(home: Home, tmp_path: Path) -> None:
    one, other = (home.spec(home.add(csv_of(table(seed=seed)))) for seed in (1, 2))
    state_files.save(home.training(one), tmp_path)

    with pytest.raises(state_files.WrongState):
        state_files.load(home.training(other), tmp_path)


def test_without_standardising_numbers_are_trained_on_as_they_came(home: Home) -> None:
    rows = [{"a": at + 0.25, "b": float(at % 3)} for at in range(8)]
    data = {"standardize": False, "standardize_target": False, "shuffle": False}
    spec = home.spec(home.add(csv_of(rows)), "b", data=data, batch_size=8)
    training = home.training(spec)

    batch = training.trainer.batches.batch(1)
    assert training.scaling is None
    assert batch.inputs.flatten().tolist() == [row["a"] for row in rows]
    assert batch.targets.flatten().tolist() == [row["b"] for row in rows]


def test_features_come_in_the_order_of_the_spec(home: Home) -> None:
    rows = [
        {"a": 1.0, "kind": "x", "b": 5.0, "n": 3.0},
        {"a": 2.0, "kind": "y", "b": 6.0, "n": 9.0},
    ]
    data = {"features": ["b", "n", "kind"], "types": {"n": "category"}}
    data |= {"standardize": False, "shuffle": False}
    spec = home.spec(home.add(csv_of(rows)), "a", data=data, batch_size=2)

    inputs = home.training(spec).trainer.batches.batch(1).inputs.tolist()
    assert inputs == [[5, 1, 0, 1, 0], [6, 0, 1, 0, 1]]


def test_whole_numbers_are_classes_in_their_order(home: Home) -> None:
    rows = [{"x": float(at), "label": float(label)} for at, label in enumerate((10, -1, 2, 10))]
    spec = home.spec(home.add(csv_of(rows)), objective="cross_entropy", batch_size=4,
                     data={"shuffle": False})  # fmt: skip

    assert home.training(spec).trainer.batches.batch(1).targets.tolist() == [2, 0, 1, 2]


def test_a_second_dataset_may_have_its_columns_in_another_order(home: Home) -> None:
    train = home.add(csv_of(table()))
    check = [{name: row[name] for name in ("label", "colour", "small", "time")} for row in table(9)]
    spec = home.spec(train, validation={"id": home.add(csv_of(check))})
    training = home.training(spec)

    held_out = training.held_out.inputs  # type: ignore[union-attr]
    same = home.training(home.spec(train, data={"shuffle": False})).trainer.batches
    assert held_out[:9].tolist() == same.rows.inputs[:9].tolist()  # type: ignore[attr-defined]


def test_a_job_learns_from_a_table(home: Home) -> None:
    spec = home.spec(
        home.add(csv_of(table(400))), budget={"ticks": 400}, validation={"fraction": 0.2},
        model={"family": "mlp", "hidden": [16]}, optimizer={"name": "adamw", "lr": 0.01},
    )  # fmt: skip
    training = home.training(spec)
    run_and_record(training)

    assert training.metrics["val_accuracy"] > 0.9


def test_a_damaged_file_is_never_trained_on(home: Home) -> None:
    spec = home.spec(home.add(csv_of(table())))
    assert spec.facts is not None
    path = home.folder / spec.facts.data.path
    path.write_bytes(path.read_bytes().replace(b"soon", b"late"))

    with pytest.raises(DamagedDataset):
        home.training(spec)
    path.unlink()
    with pytest.raises(DamagedDataset):
        home.training(spec)


def test_a_trainer_process_reads_the_artifacts_and_gives_the_same_bits(home: Home) -> None:
    spec = home.spec(home.add(csv_of(table())), validation={"fraction": 0.25})
    straight = home.train_and_record(spec)
    with running_fork_server() as fork_server:
        process = spawn_trainer(fork_server.socket_path)
        try:
            phases: list[str] = []
            trainer = TrainerClient(process.connection, phases.append)
            trainer.build(spec.to_stored(), "cpu", None, artifacts=home.folder)
            ran = trainer.run(100)
        finally:
            process.close()

    assert ran.columns["loss"].tobytes() == straight.columns["loss"]
    assert phases[0] == "loading" and ran.metrics["val_loss"] > 0
