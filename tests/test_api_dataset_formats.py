"""Arrays, JSON lines and Parquet over HTTP: uploads, their rows, and jobs on them."""

from typing import Any

import numpy as np
import pytest

from tests.datasets import (
    JSONL,
    NPZ,
    PARQUET,
    npz_of,
    parquet_of,
    spec_on_dataset,
    upload,
    upload_new,
)
from tests.needs import PYARROW, needs

INPUTS = np.random.default_rng(1).standard_normal((90, 3))
LABELS = np.arange(90) % 3


def rows_of(client: Any, dataset: dict[str, Any], **query: Any) -> list[dict[str, Any]]:
    page = client.get(dataset["links"]["rows"], query_string=query).json
    rows: list[dict[str, Any]] = page["data"]
    return rows


@pytest.mark.parametrize("compressed", [False, True])
def test_rows_of_arrays_in_fortran_order_are_those_that_were_stored(
    client: Any, compressed: bool
) -> None:
    data = npz_of(compressed, inputs=np.asfortranarray(INPUTS), targets=LABELS[:, None] > 0)
    dataset = upload_new(client, data, NPZ)

    assert dataset["inputs"] == {"shape": [90, 3], "dtype": "<f8"}
    assert rows_of(client, dataset, after=88) == [
        {"inputs": INPUTS[at].tolist(), "targets": bool(LABELS[at] > 0)} for at in (88, 89)
    ]


def test_arrays_of_usual_names_are_suggested_and_then_read(client: Any) -> None:
    data = npz_of(X=INPUTS, y=LABELS.astype(float), feature_names=np.array(["a", "b", "c"]))

    refusal = upload(client, data, NPZ)
    assert refusal.status_code == 422
    assert all("?inputs=X&targets=y" in error["detail"] for error in refusal.json["errors"])

    dataset = upload_new(client, data, NPZ, inputs="X", targets="y")
    assert [note["code"] for note in dataset["notes"]] == ["ignored_arrays"]
    spec = spec_on_dataset(dataset["id"], None, objective="cross_entropy")
    plan = client.post("/v1/jobs/plan", json=spec)
    assert plan.status_code == 200, plan.json


def test_labels_as_a_column_and_as_a_vector_validate_each_other(client: Any) -> None:
    column = upload_new(client, npz_of(inputs=INPUTS, targets=LABELS[:, None]), NPZ)
    vector = upload_new(client, npz_of(inputs=INPUTS, targets=LABELS), NPZ)
    spec = spec_on_dataset(column["id"], None, objective="cross_entropy",
                           validation={"id": vector["id"]})  # fmt: skip

    plan = client.post("/v1/jobs/plan", json=spec)

    assert plan.status_code == 200, plan.json


def test_rows_of_json_lines_show_gaps_vectors_and_texts(client: Any) -> None:
    data = b'{"a": null, "v": [1, 2], "b": true}\n{"v": null, "b": "x", "a": 1.5}\n'

    assert rows_of(client, upload_new(client, data, JSONL)) == [
        {"a": None, "v[0]": 1, "v[1]": 2, "b": "true"},
        {"a": 1.5, "v[0]": None, "v[1]": None, "b": "x"},
    ]


@needs(PYARROW)
def test_a_parquet_file_is_a_table_like_others(client: Any) -> None:
    count = 20_000
    columns = {"at": np.arange(count), "text": [None, *(f"t{at % 3}" for at in range(1, count))]}
    dataset = upload_new(client, parquet_of(columns, row_group_size=3000), PARQUET)

    assert (dataset["rows"], dataset["type"]) == (count, PARQUET)
    assert [(column["type"], column["missing"]) for column in dataset["columns"]] == [
        ("number", 0),
        ("category", 1),
    ]
    assert rows_of(client, dataset, limit=1) == [{"at": 0, "text": None}]
    assert rows_of(client, dataset, after=12_344, limit=2) == [
        {"at": at, "text": f"t{at % 3}"} for at in (12_344, 12_345)
    ]
    spec = spec_on_dataset(dataset["id"], "at", data={"missing": "drop"})
    assert client.post("/v1/jobs/plan", json=spec).status_code == 200


@needs(PYARROW)
def test_a_damaged_parquet_file_is_422_and_leaves_nothing(client: Any) -> None:
    data = parquet_of({"a": [1.5] * 100, "b": [{"c": 1}] * 100})

    for bad in (data[:-20], data[:8] + data[-8:], b"PAR1" + data[8:], data):
        assert upload(client, bad, PARQUET).status_code == 422
    assert client.get("/v1/datasets").json["data"] == []
