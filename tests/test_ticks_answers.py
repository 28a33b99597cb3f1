"""Answers of trained nets: model.py's own bits, in slices, from nets in bounded memory."""

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jobs.store.connection import Store
from tests.answering import Answers, answering, checkpoint_files
from tests.dataset_home import Home, import_model_file
from tests.datasets import CSV, JSONL, NPZ, TEXT, csv_of, jsonl_of, npz_of
from tests.support import ROOT
from tests.test_ticks_dataset_training import table
from tests.texts import lm_spec
from tests.training_records import read_small_spec, run_and_record, start_training
from ticks import state_files
from ticks.answers.nets import CheckpointFiles, NetCache, load_net
from ticks.process import answering as answering_process
from ticks.trainer import show_nothing
from ticks.training import TrainingRun


@pytest.fixture
def home(store: Store, tmp_path: Path) -> Home:
    return Home(store, tmp_path / "artifacts")


@pytest.fixture
def answers() -> Iterator[Answers]:
    with answering() as answers:
        yield answers


def saved(training: TrainingRun, folder: Path, until: int = 5) -> Path:
    """Train a little, and save the state."""
    run_and_record(training, until=until)
    folder.mkdir()
    state_files.save(training, folder)
    return folder


#: so wide that its file is little more than its weights
WIDE = {"family": "mlp", "hidden": [100, 10]}


def small_net(folder: Path, **changes: Any) -> Path:
    """Save a small regression of three numbers."""
    return saved(start_training(read_small_spec(**changes)), folder)


def language_model(folder: Path, **changes: Any) -> Path:
    """Save a small language model of bytes."""
    return saved(start_training(lm_spec(model={"dropout": 0.1}, **changes)), folder)


def file_of(home: Home, dataset_id: str) -> dict[str, Any]:
    """Return a dataset's file as a frame names it."""
    known = home.datasets.look_up("a", dataset_id)
    assert known is not None
    return {"artifacts": str(home.folder), "file": known.file.model_dump(mode="json")}


def test_a_work_goes_on_in_slices_between_which_others_are_answered(
    answers: Answers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering_process, "SLICE_SECONDS", 0)
    texts, numbers = language_model(tmp_path / "texts"), small_net(tmp_path / "numbers")
    request = {"prompt": "In the beginning", "max_tokens": 9, "temperature": 0.7}

    reply, short = answers.begin("predict", texts, work="long", request=request), []
    done = []
    while reply.kind == "unfinished":
        done.append((reply.header["done"], reply.header["total"]))
        short.append(answers.predict(numbers, inputs=[[1, 2, 3]]))
        reply = answers.command("continue", work="long")
    assert done == [(0, None), *((count, 9) for count in range(1, 10))]
    assert short == [import_model_file(numbers).predict([[1, 2, 3]])] * 10
    model = import_model_file(texts)
    written = model.generate(model.load(), "In the beginning", 9, temperature=0.7)
    assert reply.header["result"] == {"predictions": [{"text": written}]}


def test_a_work_that_raises_fails_alone(
    answers: Answers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering_process, "SLICE_SECONDS", 0)
    texts = language_model(tmp_path / "texts")
    request = {"prompt": "In", "max_tokens": 3}
    reply = answers.begin("predict", texts, work="long", request=request)
    while reply.header["done"] < 1:
        reply = answers.command("continue", work="long")

    refused = {**request, "seed": "no number, which the API refuses"}
    failed = answers.ask("predict", texts, work="other", request=refused)

    assert (failed.kind, failed.header["work"]) == ("failed", "other")
    assert failed.header["type"] == "RuntimeError" and failed.header["detail"]
    while reply.kind == "unfinished":
        reply = answers.command("continue", work="long")
    assert reply.kind == "answered"


def test_a_dropped_work_is_forgotten(
    answers: Answers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering_process, "SLICE_SECONDS", 0)
    folder = small_net(tmp_path / "net")

    assert answers.begin("predict", folder, request={"inputs": [[1, 2, 3]]}).kind == "unfinished"
    assert answers.command("drop", work="w").kind == "dropped"
    assert answers.command("drop", work="w").kind == "dropped", "a second time, too"
    with pytest.raises(KeyError):
        answers.command("continue", work="w")


def test_a_dropped_work_leaves_no_file(
    answers: Answers, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering_process, "SLICE_SECONDS", 0)
    dataset_id, output = home.add(csv_of(table(200))), tmp_path / "out.jsonl"
    folder = saved(home.training(home.spec(dataset_id)), tmp_path / "table")

    answers.begin("predict_dataset", folder, **file_of(home, dataset_id), output=str(output))
    while not output.exists():
        assert answers.command("continue", work="w").kind == "unfinished"
    answers.command("drop", work="w")
    assert not output.exists()


def test_nets_are_held_within_a_bound_and_the_one_used_least_recently_goes(
    tmp_path: Path,
) -> None:
    folders = {
        name: small_net(tmp_path / name, seed=seed, model=WIDE) for seed, name in enumerate("abc")
    }
    files = {name: CheckpointFiles(**checkpoint_files(folder)) for name, folder in folders.items()}
    cache = NetCache(show_nothing)
    size = (folders["a"] / "model.safetensors").stat().st_size
    assert size > load_net(files["a"], 1, show_nothing).bytes > 1000

    first = {name: cache.get(files[name], 1, 2 * size) for name in "abac"}  # b is the oldest
    assert cache.bytes == first["a"].bytes + first["c"].bytes <= 2 * size
    assert cache.get(files["a"], 1, 2 * size) is first["a"]
    assert cache.get(files["b"], 1, 2 * size) is not first["b"]
    assert cache.get(files["b"], 2, 2 * size).config["threads"] == 2, "another net"
    assert cache.get(files["c"], 1, 1) is not first["c"]
    assert cache.bytes == 0, "a net that is larger than the bound is dropped, with all others"


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
def test_a_net_whose_file_has_other_bytes_is_not_used(
    answers: Answers, tmp_path: Path, file: str
) -> None:
    folder = small_net(tmp_path / "net")
    checkpoint = checkpoint_files(folder)
    damaged = bytearray((folder / file).read_bytes())
    damaged[-2] ^= 1
    (folder / file).write_bytes(damaged)

    request = {"inputs": [[1, 2, 3]]}
    reply = answers.begin("predict", folder, checkpoint=checkpoint, request=request)
    assert (reply.kind, reply.header["type"]) == ("failed", "DamagedNet")
    assert reply.header["detail"] == f"{file} has other bytes than were saved"
    (folder / file).unlink()
    reply = answers.begin("predict", folder, checkpoint=checkpoint, request=request)
    assert (reply.kind, reply.header["type"]) == ("failed", "FileNotFoundError")


def test_every_fault_of_a_request_is_told_by_its_place(
    answers: Answers, home: Home, tmp_path: Path
) -> None:
    rows = table(40)
    training = home.training(home.spec(home.add(csv_of(rows))))
    folder = saved(training, tmp_path / "table")
    good = {"time": 1.7e9, "small": 0.5, "colour": "red"}

    def faults(**request: Any) -> list[tuple[str, str]]:
        return answers.refusal("predict", folder, request=request)

    assert faults(
        rows=[good, {**good, "small": "x", "colour": "pink"}, {"time": 1, "small": 2}]
    ) == [
        ("/rows/1/small", "small: 'x' is no number"),
        ("/rows/1/colour", "colour: 'pink' is none of ['blue', 'green', 'red']"),
        ("/rows/2/colour", "colour: the record has no such column"),
    ]
    assert faults(rows=[good, 5]) == [("/rows/1", "an object: column name to value")]
    assert faults(rows=[]) == [("/rows", "a list of one row or more")]
    assert faults(inputs=[[1, 2, 3, 4, 5], [1, 2, True, 4, 5], [1e39] * 5]) == [
        ("/inputs/1", "a row of 5 numbers"), ("/inputs/2", "a row of 5 numbers"),
    ]  # fmt: skip
    assert faults(prompt="x") == [
        ("/prompt", "left out: a net of the family mlp reads rows or inputs")
    ]
    assert len(faults(rows=[{}] * 50)) == 101, "the first hundred, and that there are more"
    far = faults(rows=[{**good, "small": "x"}, *[good] * 600, {**good, "colour": 1}])
    assert [pointer for pointer, _ in far] == ["/rows/0/small", "/rows/601/colour"]
    nameless, texts = small_net(tmp_path / "numbers"), language_model(tmp_path / "texts")
    rule = "inputs, rows of 3 numbers: the net's data had no column names"
    assert answers.refusal("predict", nameless, request={"rows": [good]}) == [("/rows", rule)]
    rule = "left out: a net of the family transformer_lm reads a prompt"
    assert answers.refusal("predict", texts, request={"inputs": [[1]]}) == [("/inputs", rule)]
    rule = "a text of one character or more"
    assert answers.refusal("predict", texts, request={"prompt": ""}) == [("/prompt", rule)]


def test_a_datasets_predictions_are_those_of_its_rows(
    answers: Answers, home: Home, tmp_path: Path
) -> None:
    rows = table(300)
    folder = saved(home.training(home.spec(home.add(csv_of(rows)))), tmp_path / "table")
    unlabelled = [{k: v for k, v in row.items() if k != "label"} for row in rows]
    unlabelled[7] |= {"colour": "pink"}
    for number, (data, kind) in enumerate(
        [(csv_of(unlabelled), CSV), (jsonl_of(unlabelled), JSONL)]
    ):
        output = tmp_path / f"{number}.jsonl"
        file = file_of(home, home.add(data, kind))

        reply = answers.ask("predict_dataset", folder, **file, output=str(output))
        assert reply.header["result"] == {"rows": 300, "errors": 1}
        lines = [json.loads(line) for line in output.read_text().splitlines()]
        assert lines[7] == {"row": 8, "error": "colour: 'pink' is none of ['blue', 'green', 'red']"}
        predictions = import_model_file(folder).predict(rows)
        for row, (line, prediction) in enumerate(zip(lines, predictions, strict=True), 1):
            assert line == {"row": row, **prediction} or row == 8
        again = answers.ask("predict_dataset", folder, **file, output=str(output))
        assert again.header["type"] == "FileExistsError"


def test_an_arrays_predictions_are_those_of_its_rows(
    answers: Answers, home: Home, tmp_path: Path
) -> None:
    inputs = np.random.default_rng(5).standard_normal((70, 3))
    arrays = home.add(npz_of(inputs=inputs, targets=inputs @ np.ones((3, 2))), NPZ)
    folder = saved(home.training(home.spec(arrays, None)), tmp_path / "arrays")
    output = tmp_path / "out.jsonl"

    answers.ask("predict_dataset", folder, **file_of(home, arrays), output=str(output))

    lines = [json.loads(line) for line in output.read_text().splitlines()]
    predictions = import_model_file(folder).predict(inputs.tolist())
    assert lines == [{"row": at + 1, **predicted} for at, predicted in enumerate(predictions)]
    assert len(lines[0]["values"]) == 2


@pytest.mark.parametrize("objective", ["cross_entropy", "mse", "language_model"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_an_evaluation_has_the_metrics_of_a_validation_on_the_same_rows(
    answers: Answers, home: Home, tmp_path: Path, objective: str, precision: str
) -> None:
    compute = {"precision": precision, "engine": "eager"}
    if objective == "language_model":
        text = home.add(b"in the beginning was the word, and more " * 30, TEXT)
        model = {"family": "transformer_lm", "layers": 1, "heads": 1, "width": 8}
        other, changes = text, {"data": {"window": 8}, "model": model}
        training = home.training(
            home.spec(text, None, validation={"id": other}, compute=compute, **changes)
        )
    else:
        target = "label" if objective == "cross_entropy" else "small"
        data, other = home.add(csv_of(table(60))), home.add(jsonl_of(table(2500, seed=2)), JSONL)
        training = home.training(home.spec(data, target, validation={"id": other}, compute=compute))
    folder = saved(training, tmp_path / "net")
    training.validate()

    result = answers.ask("evaluate", folder, **file_of(home, other)).header["result"]

    assert {f"val_{name}": value for name, value in result["metrics"].items()} == training.metrics
    if objective == "cross_entropy":
        matrix = np.array(result["confusion"]["matrix"])
        assert result["confusion"]["classes"] == ["late", "soon"]
        assert matrix.sum() == result["rows"] == 2500
        assert np.trace(matrix) / 2500 == result["metrics"]["accuracy"]
    else:
        assert "confusion" not in result


def test_an_evaluation_leaves_out_rows_with_gaps_or_tells_the_first(
    answers: Answers, home: Home, tmp_path: Path
) -> None:
    rows = table(40)
    folder = saved(home.training(home.spec(home.add(csv_of(rows)))), tmp_path / "table")
    gaps = [{**row, "small": ""} if at == 20 else row for at, row in enumerate(rows)]
    with_gaps = file_of(home, home.add(csv_of(gaps)))
    whole = file_of(home, home.add(csv_of([*rows[:20], *rows[21:]])))

    expected = answers.ask("evaluate", folder, **whole).header["result"]
    dropped = answers.ask("evaluate", folder, **with_gaps, drops_gaps=True).header["result"]
    assert dropped == expected and dropped["rows"] == 39
    ((pointer, detail),) = answers.refusal("evaluate", folder, **with_gaps)
    assert (pointer, detail[:39]) == ("/dataset", "row 21: small: the value is missing, as")
    unlabelled = home.add(csv_of([{"time": 1.0, "small": 2.0, "colour": "red"}]))
    ((pointer, detail),) = answers.refusal("evaluate", folder, **file_of(home, unlabelled))
    assert detail == "a table with the column 'label'"
    other_class = home.add(csv_of([rows[0], {**rows[1], "label": "never"}]))
    ((pointer, detail),) = answers.refusal("evaluate", folder, **file_of(home, other_class))
    assert detail == "row 2: a target that is a class of the training's"
    text = file_of(home, home.add(b"a text", TEXT))
    ((pointer, detail),) = answers.refusal("evaluate", folder, **text)
    assert detail == "a table, as the data of the training"


def test_a_damaged_dataset_fails_one_work_and_leaves_no_file(
    answers: Answers, home: Home, tmp_path: Path
) -> None:
    dataset_id = home.add(csv_of(table(40)))
    folder = saved(home.training(home.spec(dataset_id)), tmp_path / "table")
    file, output = file_of(home, dataset_id), tmp_path / "out.jsonl"
    (home.folder / file["file"]["path"]).write_bytes(b"time,small\n1,2\n")

    for kind, header in (("evaluate", {}), ("predict_dataset", {"output": str(output)})):
        reply = answers.ask(kind, folder, **file, **header)
        assert (reply.kind, reply.header["type"]) == ("failed", "DamagedDataset")
    assert not output.exists()


def test_checkpoints_of_an_earlier_build_answer(answers: Answers, tmp_path: Path) -> None:
    archive_file = ROOT / "tests" / "data" / "data_folder_of_revision_1.tar.gz"
    with tarfile.open(archive_file) as archive:
        archive.extractall(tmp_path, filter="data")
    configs = {path.parent: json.loads(path.read_text()) for path in tmp_path.rglob("config.json")}
    assert len(configs) >= 3
    for folder, config in configs.items():
        request: dict[str, Any] = {"inputs": [[0.5] * config["inputs"]]}
        if "columns" in config:
            request = {"rows": [{"k": 0.1, "x": 1.5, "kind": "b", "y": 3}]}
        (predicted,) = answers.predict(folder, **request)
        assert predicted.keys() == {"value"} or len(predicted["probabilities"]) == 10
