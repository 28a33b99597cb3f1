"""Datasets over HTTP: uploaded, found, shown, deleted; what is refused leaves nothing."""

import hashlib
import json
import re
from typing import Any

import numpy as np
import pytest

from jobs import celery_app
from jobs.settings import Settings
from tests.datasets import (
    CSV,
    JSONL,
    NPZ,
    PETS,
    TEXT,
    csv_of,
    files_of,
    jsonl_of,
    npz_of,
    spec_on_dataset,
    upload,
    upload_new,
)
from tests.manual_worker import ManualWorker

ARRAYS = npz_of(inputs=np.arange(6.0).reshape(3, 2), targets=np.array([0, 1, 1]))


@pytest.fixture(autouse=True)
def no_wakeups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(celery_app, "wake_workers", lambda queue, n=1: None)


@pytest.fixture
def other(client: Any) -> Any:
    """A client of another tenant."""
    body = {"tenant": "elsewhere", "scopes": ["read", "submit"]}
    created = client.post("/v1/keys", json=body).json
    http = client.application.test_client()
    http.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {created['secret']}"
    return http


def test_an_upload_gives_the_dataset_and_its_place(client: Any) -> None:
    response = upload(client, PETS, name="pets")

    dataset = response.json
    assert response.status_code == 201
    assert (
        response.headers["Location"] == f"/v1/datasets/{dataset['id']}" == dataset["links"]["self"]
    )
    assert re.fullmatch(r"ds_[a-z0-9]{26}", dataset["id"])
    assert (dataset["name"], dataset["type"], dataset["rows"], dataset["bytes"]) == (
        "pets",
        CSV,
        6,
        len(PETS),
    )
    assert dataset["sha256"] == hashlib.sha256(PETS).hexdigest()
    assert [(column["name"], column["type"]) for column in dataset["columns"]] == [
        ("weight", "number"), ("colour", "category"), ("age", "number"), ("pet", "category"),
    ]  # fmt: skip
    assert dataset["columns"][0] == {
        "name": "weight", "type": "number", "min": 3.25, "max": 40.125, "distinct": 6,
        "mean": pytest.approx(106.375 / 6), "deviation": pytest.approx(14.469151212339844),
        "missing": 0, "classes": None, "index": False,
    }  # fmt: skip
    assert dataset["columns"][3]["classes"] == ["cat", "dog"]
    assert client.get(dataset["links"]["self"]).json == dataset


def test_a_text_has_characters_and_a_vocabulary(client: Any) -> None:
    dataset = upload_new(client, "Grüße".encode(), TEXT)

    assert (dataset["characters"], dataset["vocabulary_size"], dataset["bytes"]) == (5, 5, 7)
    assert dataset["rows"] is None and dataset["columns"] is None


def test_an_npz_has_shapes(client: Any) -> None:
    dataset = upload_new(client, ARRAYS, NPZ)

    assert dataset["rows"] == 3
    assert dataset["inputs"] == {"shape": [3, 2], "dtype": "<f8"}


def test_the_same_upload_gives_the_same_id_and_200(client: Any) -> None:
    first = upload(client, PETS, name="one")
    again = upload(client, PETS, name="two")

    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json == first.json


def test_another_type_or_delimiter_gives_another_id(client: Any) -> None:
    line = b"a,b;c\n1,2;3\n"
    datasets = [
        upload_new(client, line),
        upload_new(client, line, delimiter="semicolon"),
        upload_new(client, line, TEXT),
    ]

    assert len({item["id"] for item in datasets}) == 3
    assert [item["name"] for item in datasets[1]["columns"]] == ["a,b", "c"]


def test_two_tenants_never_see_each_others_datasets(
    client: Any, other: Any, settings: Settings
) -> None:
    mine, theirs = upload_new(client, PETS), upload_new(other, PETS)

    assert mine["id"] != theirs["id"] and mine["sha256"] == theirs["sha256"]
    for path in ("", "/content", "/rows"):
        assert other.get(f"/v1/datasets/{mine['id']}{path}").status_code == 404
    assert other.delete(f"/v1/datasets/{mine['id']}").status_code == 404
    assert [dataset["id"] for dataset in other.get("/v1/datasets").json["data"]] == [theirs["id"]]
    refusal = other.post("/v1/jobs/plan", json=spec_on_dataset(mine["id"]))
    assert refusal.json["errors"][0]["pointer"] == "/data/id"
    assert len(files_of(settings.artifacts)) == 1  # the bytes lie there once


def test_content_gives_the_bytes_back(client: Any) -> None:
    dataset = upload_new(client, PETS)
    path = f"/v1/datasets/{dataset['id']}/content"

    whole = client.get(path)
    part = client.get(path, headers={"Range": "bytes=7-12"})
    known = client.get(path, headers={"If-None-Match": f'"{dataset["sha256"]}"'})

    assert (whole.data, whole.content_type) == (PETS, CSV)
    assert whole.headers["ETag"] == f'"{dataset["sha256"]}"'
    assert (part.status_code, part.data) == (206, PETS[7:13])
    assert known.status_code == 304
    assert client.get(path, headers={"Range": "bytes=9999-"}).status_code == 416


@pytest.mark.parametrize("kind", [CSV, JSONL])
def test_rows_are_shown_from_any_row_on(client: Any, kind: str) -> None:
    rows = [{"number": at + 0.5, "text": f"x{at % 7}" * 40} for at in range(12_000)]
    dataset = upload_new(client, csv_of(rows) if kind == CSV else jsonl_of(rows), kind)
    path = f"/v1/datasets/{dataset['id']}/rows"

    for after in (0, 1, 2900, 2901, 7777, 11_998, 12_000, 10**9):
        page = client.get(f"{path}?after={after}&limit=3").json
        assert page["data"] == rows[after : after + 3]
        assert page["has_more"] == (after + 3 < 12_000)
        assert page["next_after"] == (str(after + 3) if after + 3 < 12_000 else None)


def test_rows_of_an_npz_are_shown_and_a_text_has_none(client: Any) -> None:
    arrays, text = upload_new(client, ARRAYS, NPZ), upload_new(client, b"abc", TEXT)

    page = client.get(f"/v1/datasets/{arrays['id']}/rows?after=1").json

    assert page["data"] == [
        {"inputs": [2.0, 3.0], "targets": 1}, {"inputs": [4.0, 5.0], "targets": 1},
    ]  # fmt: skip
    assert client.get(f"/v1/datasets/{text['id']}/rows").status_code == 404


def test_the_list_is_newest_first_and_pages_hold_while_datasets_come(client: Any) -> None:
    dataset_ids = [upload_new(client, b"a\n%d\n" % at)["id"] for at in range(5)]

    first = client.get("/v1/datasets?limit=2").json
    upload_new(client, b"a\n99\n")
    rest = client.get(f"/v1/datasets?limit=10&after={first['next_after']}").json
    oldest = client.get("/v1/datasets?order=asc&limit=1").json

    listed = [dataset["id"] for dataset in [*first["data"], *rest["data"]]]
    assert listed == dataset_ids[::-1]
    assert (first["has_more"], rest["has_more"], rest["next_after"]) == (True, False, None)
    assert oldest["data"][0]["id"] == dataset_ids[0]
    assert client.get("/v1/datasets?after=x").status_code == 400


def test_a_bad_file_is_refused_with_row_and_column_and_leaves_nothing(
    client: Any, settings: Settings
) -> None:
    for kind, data in ((CSV, b"a,b\n1,2\n3\n"), (NPZ, b"no zip"), (TEXT, b"\xff")):
        response = upload(client, data, kind)

        assert response.status_code == 422
        assert response.json["type"] == "urn:tickforge:problem:invalid-data"
    faults = upload(client, b"a,b\n1,2\n3\n").json["errors"]
    rule = "2 fields as in the header, not 1"
    assert faults == [{"row": 2, "detail": rule, "value": "3"}]
    assert client.get("/v1/datasets").json["data"] == []
    assert files_of(settings.artifacts) == []


@pytest.mark.parametrize("kind", ["application/json", "text/html", "text/csv; charset=latin-1", ""])
def test_an_unknown_media_type_is_415_and_names_the_known_ones(client: Any, kind: str) -> None:
    response = upload(client, PETS, kind)

    assert response.status_code == 415
    assert "application/x-ndjson" in response.json["detail"]


def test_a_delimiter_is_for_csv_alone(client: Any) -> None:
    response = upload(client, b"abc", TEXT, delimiter="tab")

    assert (response.status_code, response.json["errors"][0]["parameter"]) == (400, "delimiter")


def test_a_key_makes_one_dataset_and_repeats_its_answer(client: Any) -> None:
    first = upload(client, PETS, key="k1")
    again = upload(client, PETS, key="k1")
    second_key = upload(client, PETS, key="k2")
    again_second = upload(client, PETS, key="k2")

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json == first.json
    assert (first.headers.get("Idempotent-Replayed"), again.headers["Idempotent-Replayed"]) == (
        None, "true",
    )  # fmt: skip
    assert (second_key.status_code, again_second.status_code) == (200, 200)
    assert upload(client, PETS, key="k1", name="other").status_code == 422
    assert upload(client, b"a\n1\n", key="k1").status_code == 422
    assert client.post(
        "/v1/jobs", json=spec_on_dataset(first.json["id"]), headers={"Idempotency-Key": "k1"}
    ).status_code == 422  # fmt: skip


def test_after_a_delete_the_id_is_404_and_its_keys_are_410(client: Any) -> None:
    path = f"/v1/datasets/{upload_new(client, PETS, key='k1')['id']}"

    assert client.delete(path).status_code == 204
    assert [client.get(path).status_code, client.delete(path).status_code] == [404, 404]
    assert client.get("/v1/datasets").json["data"] == []
    assert upload(client, PETS, key="k1").status_code == 410
    assert upload(client, PETS).headers["Location"] == path


def test_a_dataset_that_a_live_job_uses_cannot_be_deleted(
    client: Any, store: Any, settings: Settings
) -> None:
    train, check = upload_new(client, PETS), upload_new(client, PETS + b"7,black,2,dog\n")
    spec = spec_on_dataset(train["id"], validation={"id": check["id"]})
    job = client.post("/v1/jobs", json=spec).json["id"]

    for dataset in (train, check):
        refusal = client.delete(f"/v1/datasets/{dataset['id']}")
        assert (refusal.status_code, refusal.json["jobs"]) == (409, [job])
    worker = ManualWorker(store, settings)
    assert client.delete(f"/v1/datasets/{train['id']}").status_code == 409
    worker.record([1.0] * 6)
    worker.end(stopped_by="budget")
    for dataset in (train, check):
        assert client.delete(f"/v1/datasets/{dataset['id']}").status_code == 204
    assert files_of(settings.artifacts / "blobs") == []


def test_a_paused_job_holds_its_dataset_and_a_cancelled_one_does_not(client: Any) -> None:
    dataset = upload_new(client, PETS)
    job = client.post("/v1/jobs", json=spec_on_dataset(dataset["id"])).json["id"]
    client.post(f"/v1/jobs/{job}/pause")

    assert client.delete(f"/v1/datasets/{dataset['id']}").status_code == 409
    client.post(f"/v1/jobs/{job}/cancel")
    assert client.delete(f"/v1/datasets/{dataset['id']}").status_code == 204


def test_a_submission_is_repeated_although_its_dataset_is_gone(client: Any) -> None:
    dataset = upload_new(client, PETS)
    spec, key = spec_on_dataset(dataset["id"]), {"Idempotency-Key": "k1"}
    job = client.post("/v1/jobs", json=spec, headers=key).json["id"]
    client.post(f"/v1/jobs/{job}/cancel")
    client.delete(f"/v1/datasets/{dataset['id']}")

    again = client.post("/v1/jobs", json=spec, headers=key)

    assert (again.status_code, again.json["id"]) == (202, job)
    assert client.post("/v1/jobs", json=spec).status_code == 422


def test_the_trainers_dataset_facts_are_never_shown_and_never_accepted(client: Any) -> None:
    dataset = upload_new(client, PETS)
    job = client.post("/v1/jobs", json=spec_on_dataset(dataset["id"])).json
    plan = client.post("/v1/jobs/plan", json=spec_on_dataset(dataset["id"])).json

    assert "facts" not in job["spec"] and "facts" not in plan["spec"]
    assert "blobs/" not in json.dumps([job, plan, dataset])
    again = client.post("/v1/jobs", json=job["spec"])
    assert (again.status_code, again.json["spec"]) == (202, job["spec"])
    forged = client.post("/v1/jobs", json={**job["spec"], "facts": {}})
    assert forged.json["errors"][0]["pointer"] == "/facts"
    document = client.get("/openapi.json").json["components"]["schemas"]
    assert "facts" not in document["JobSpec"]["properties"]


def test_a_plan_counts_the_rows_in_memory(client: Any) -> None:
    few, many = (
        upload_new(client, b"a,b\n" + b"".join(b"%d,1.5\n" % at for at in range(count)))
        for count in (10, 100_000)
    )
    small, large = (
        client.post("/v1/jobs/plan", json=spec_on_dataset(dataset["id"], "b")).json["memory_bytes"]
        for dataset in (few, many)
    )

    assert large - small >= 99_990 * (4 + 4 + 8)
