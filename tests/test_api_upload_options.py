"""Options of an upload: what they may be, for which files, and when they make another dataset."""

import importlib.util
import io
from typing import Any

import numpy as np
import pytest

from jobs.datasets.formats.parquet import PARQUET
from jobs.ids import make_dataset_id
from jobs.store.connection import Store
from jobs.tenant_secrets import tenant_secret
from tests.datasets import (
    CSV,
    JSONL,
    NPZ,
    PETS,
    TEXT,
    TSV,
    npz_of,
    parquet_of,
    upload,
    upload_new,
)  # fmt: skip
from tests.needs import PYARROW, needs

ARRAYS = npz_of(inputs=np.arange(6.0).reshape(3, 2), targets=np.array([0, 1, 1]))
TABBED = PETS.replace(b",", b"\t")
ABSENT = f"{CSV}; header=absent"


def faults(response: Any) -> list[tuple[str, str, Any]]:
    """Where each error of a 400 lies, its rule and its value."""
    assert response.status_code == 400, response.json
    return [
        (entry.get("parameter") or entry["header"], entry["detail"], entry["value"])
        for entry in response.json["errors"]
    ]


def column_of(dataset: dict[str, Any], name: str) -> dict[str, Any]:
    (column,) = [column for column in dataset["columns"] if column["name"] == name]
    assert isinstance(column, dict)
    return column


def test_without_a_header_the_first_row_is_a_row(client: Any) -> None:
    dataset = upload_new(client, b"1.5,red\n2.5,blue\n", ABSENT)

    assert dataset["rows"] == 2
    assert [column["name"] for column in dataset["columns"]] == ["c1", "c2"]
    rows = client.get(dataset["links"]["rows"]).json["data"]
    assert rows == [{"c1": 1.5, "c2": "red"}, {"c1": 2.5, "c2": "blue"}]


def test_numbers_are_read_by_their_signs(client: Any) -> None:
    data = b"price;size\n1.234.567,5;1\n-2,25;2\n"
    dataset = upload_new(client, data, delimiter="semicolon", decimal="comma", thousands="point")

    price = column_of(dataset, "price")
    assert (price["type"], price["min"], price["max"]) == ("number", -2.25, 1234567.5)
    assert client.get(dataset["links"]["rows"]).json["data"][1] == {"price": -2.25, "size": 2}


def test_cells_beside_the_documented_ones_are_missing_where_the_upload_says_so(
    client: Any,
) -> None:
    data = b"a,b\n1,x\n-999,none of it\n NA,x\n3,y\n"
    plain = column_of(upload_new(client, data), "a")
    dataset = upload_new(client, data, missing=["-999", "none of it"])

    assert (plain["missing"], plain["min"]) == (1, -999)
    assert (column_of(dataset, "a")["missing"], column_of(dataset, "a")["min"]) == (2, 1)
    assert column_of(dataset, "b")["missing"] == 1


def test_arrays_of_other_names_are_inputs_and_targets(client: Any) -> None:
    arrays = npz_of(X=np.arange(6.0).reshape(3, 2), y=np.array([0, 1, 1]))

    dataset = upload_new(client, arrays, NPZ, inputs="X", targets="y")

    assert (dataset["inputs"]["shape"], dataset["targets"]["shape"]) == ([3, 2], [3])
    assert upload(client, arrays, NPZ).status_code == 422


def test_options_that_a_kind_of_file_does_not_have_are_400_all_at_once(client: Any) -> None:
    response = upload(
        client, b"abc", TEXT, delimiter="tab", header="absent", decimal="comma", missing="x"
    )

    assert faults(response) == [
        ("delimiter", f"left out for {TEXT}: it is an option of {CSV} alone", "tab"),
        ("header", f"left out for {TEXT}: it is an option of {CSV} alone", "absent"),
        ("decimal", f"left out for {TEXT}: it is an option of {CSV} alone", "comma"),
        (
            "missing",
            f"left out for {TEXT}: it is an option of {CSV}, {JSONL}, {PARQUET} alone",
            ["x"],
        ),
    ]
    refused = [name for name, _, _ in faults(upload(client, PETS, CSV, inputs="y", targets="y"))]
    assert refused == ["inputs", "targets"]
    assert [name for name, _, _ in faults(upload(client, b"{}", JSONL, thousands="point"))] == [
        "thousands"
    ]


def test_the_default_of_an_option_may_be_sent_with_any_file(client: Any) -> None:
    dataset = upload_new(
        client, b"abc", TEXT, decimal="point", thousands="none", inputs="inputs", targets="targets"
    )

    assert dataset["id"] == upload(client, b"abc", TEXT).json["id"]


@pytest.mark.parametrize(
    ("query", "fault"),
    [
        ({"thousands": "point"}, ("thousands", "another sign than decimal, which is point")),
        (
            {"thousands": "comma", "decimal": "comma"},
            ("thousands", "another sign than decimal, which is comma"),
        ),
    ],
)
def test_decimal_and_thousands_are_two_signs(
    client: Any, query: dict[str, str], fault: tuple[str, str]
) -> None:
    assert [entry[:2] for entry in faults(upload(client, PETS, CSV, **query))] == [fault]


def test_inputs_and_targets_are_two_arrays(client: Any) -> None:
    response = upload(client, ARRAYS, NPZ, inputs="x", targets="x")

    assert faults(response) == [("targets", "another array than inputs", "x")]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("header", "none"),
        ("decimal", ","),
        ("thousands", "tab"),
        ("layout", "table"),
        ("inputs", ""),
    ],
)
def test_a_value_or_name_that_is_no_option_is_400(client: Any, name: str, value: str) -> None:
    assert [entry[0] for entry in faults(upload(client, PETS, CSV, **{name: value}))] == [name]


def test_tsv_is_csv_with_tabs(client: Any) -> None:
    dataset = upload_new(client, TABBED, TSV)

    assert (dataset["type"], dataset["delimiter"], dataset["rows"]) == (CSV, "tab", 6)
    assert upload(client, TABBED, CSV, delimiter="tab").json["id"] == dataset["id"]
    assert upload(client, TABBED, TSV, delimiter="tab").json["id"] == dataset["id"]
    assert faults(upload(client, TABBED, TSV, delimiter="comma")) == [
        ("delimiter", f"tab for {TSV}", "comma")
    ]


@pytest.mark.parametrize("kind", ["application/jsonl", "application/jsonlines"])
def test_json_lines_have_three_names(client: Any, kind: str) -> None:
    dataset = upload_new(client, b'{"a": 1}\n', kind)

    assert dataset["type"] == JSONL
    assert upload(client, b'{"a": 1}\n', JSONL).json["id"] == dataset["id"]


def test_the_media_types_header_is_the_option(client: Any) -> None:
    by_type = upload(client, PETS, ABSENT).json["id"]

    assert upload(client, PETS, CSV, header="absent").json["id"] == by_type
    assert upload(client, PETS, f"{CSV}; Header=Absent", header="absent").json["id"] == by_type
    assert upload(client, PETS, f"{CSV}; header=present").json["id"] != by_type


@pytest.mark.parametrize(
    ("kind", "query", "fault"),
    [
        (ABSENT, {"header": "present"},
         ("header", "absent, as Content-Type has it, or left out", "present")),
        (f"{CSV}; header=present", {"header": "absent"},
         ("header", "present, as Content-Type has it, or left out", "absent")),
        (f"{CSV}; header=no", {}, ("Content-Type", "header=present or header=absent", "no")),
        (f"{JSONL}; header=absent", {}, ("Content-Type", f"no header= for {JSONL}", "absent")),
    ],
)  # fmt: skip
def test_a_media_type_that_says_another_header_is_400(
    client: Any, kind: str, query: dict[str, str], fault: tuple[str, str, str]
) -> None:
    assert faults(upload(client, PETS, kind, **query)) == [fault]


def test_an_option_makes_another_dataset_where_it_is_not_its_default(client: Any) -> None:
    plain = upload_new(client, PETS)["id"]
    others = [
        upload_new(client, PETS, header="absent")["id"],
        upload_new(client, PETS, decimal="comma")["id"],
        upload_new(client, PETS, thousands="space")["id"],
        upload_new(client, PETS, missing="-999")["id"],
    ]
    defaults = {"delimiter": "comma", "header": "present", "decimal": "point", "thousands": "none"}

    assert len({plain, *others}) == 5
    assert upload(client, PETS, **defaults).json["id"] == plain
    assert upload(client, PETS, missing=" N/A ").json["id"] == plain  # of the documented list


def test_missing_tokens_are_a_set(client: Any) -> None:
    first = upload_new(client, PETS, missing=["-1", "x", "NA"])["id"]

    assert upload(client, PETS, missing=["x", " -1 ", "x"]).json["id"] == first


def test_too_many_or_too_long_tokens_are_400(client: Any) -> None:
    many = [f"t{at}" for at in range(101)]

    for tokens in (many, ["x" * 101]):
        assert [entry[0] for entry in faults(upload(client, PETS, missing=tokens))] == ["missing"]


def test_the_ids_of_earlier_builds_stay(client: Any, store: Store) -> None:
    secret = tenant_secret(store, "default")
    for data, kind, delimiter in (
        (PETS, CSV, "comma"), (TABBED, CSV, "tab"), (b"abc", TEXT, "comma"), (ARRAYS, NPZ, "comma"),
    ):  # fmt: skip
        query = {} if delimiter == "comma" else {"delimiter": delimiter}
        dataset = upload_new(client, data, kind, **query)

        assert dataset["id"] == make_dataset_id(secret, kind, delimiter, dataset["sha256"])


def test_a_key_with_other_options_is_another_body(client: Any) -> None:
    upload_new(client, PETS, key="k")

    assert upload(client, PETS, key="k").headers["Idempotent-Replayed"] == "true"
    for query in ({"header": "absent"}, {"missing": "7"}, {"decimal": "comma"}):
        response = upload(client, PETS, key="k", **query)
        assert (response.status_code, response.json["errors"][0]["header"]) == (
            422, "Idempotency-Key",
        )  # fmt: skip


def test_a_bom_and_crlf_are_kept_in_the_bytes(client: Any) -> None:
    data = b"\xef\xbb\xbf" + PETS.replace(b"\n", b"\r\n")
    dataset = upload_new(client, data)

    assert client.get(dataset["links"]["content"]).data == data
    assert [column["name"] for column in dataset["columns"]][0] == "weight"


def test_a_format_whose_package_is_missing_is_415_with_the_way_to_install_it(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)

    response = upload(client, b"PAR1", PARQUET)

    (entry,) = response.json["errors"]
    assert (response.status_code, entry["header"], entry["value"]) == (415, "Content-Type", PARQUET)
    assert "pip install -r requirements-parquet.txt" in entry["detail"]


@needs(PYARROW)
def test_parquet_is_a_table_by_its_type_or_by_a_forms_file_name(client: Any) -> None:
    data = parquet_of({"a": [1.5, None, -999], "b": ["x", "y", "x"]})
    dataset = upload_new(client, data, PARQUET, missing="-999")

    assert (dataset["type"], dataset["rows"]) == (PARQUET, 3)
    assert column_of(dataset, "a")["type"] == "number"
    assert column_of(dataset, "b")["classes"] == ["x", "y"]
    assert client.get(dataset["links"]["content"]).data == data
    form = {"file": (io.BytesIO(data), "table.parquet")}
    formed = client.post("/v1/datasets?missing=-999", data=form, content_type="multipart/form-data")
    assert (formed.status_code, formed.json["id"]) == (200, dataset["id"])
    assert [entry[0] for entry in faults(upload(client, data, PARQUET, header="absent"))] == [
        "header"
    ]


def test_a_row_of_another_length_is_compared_with_the_first_one_where_there_is_no_header(
    client: Any,
) -> None:
    (fault,) = upload(client, b"1,2\n3,4,5\n", CSV, header="absent").json["errors"]

    assert (fault["row"], fault["detail"]) == (2, "2 fields as in the first row, not 3")
