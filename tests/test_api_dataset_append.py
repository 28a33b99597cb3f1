"""POST /v1/datasets/{id}/append: the whole is the file that could have been uploaded."""

import gzip
import hashlib
import io
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import redis

from jobs import fault_points, rebuild
from jobs.files.artifacts import ArtifactStore
from jobs.settings import Settings
from jobs.startup import prepare_store
from tests.datasets import CSV, FORM, JSONL, NPZ, PETS, TEXT, TSV, npz_of, upload, upload_new

MARK = b"\xef\xbb\xbf"
ROWS = b"weight,colour,age,pet\n50,grey,9,dog\n2,black,,cat\n"
#: media type, options of the upload, what was there, what is appended, the whole
CASES: dict[str, tuple[str, dict[str, str], bytes, bytes, bytes]] = {
    "a header": (CSV, {}, PETS, ROWS, PETS + ROWS.split(b"\n", 1)[1]),
    "no newline at the end": (CSV, {}, b"a,b\n1,x", b"a,b\n2,y", b"a,b\n1,x\n2,y"),
    "blank lines at the end": (CSV, {}, b"a,b\n1,x\n", b"a,b\n2,y\n\n \n", b"a,b\n1,x\n2,y\n"),
    "carriage returns": (CSV, {}, b"a,b\r\n1,x\r\n", b"a,b\r\n2,y\r\n", b"a,b\r\n1,x\r\n2,y\r\n"),
    "no last line end": (CSV, {}, b"a,b\r\n1,x", b"a,b\r\n2,y\r\n", b"a,b\r\n1,x\n2,y\r\n"),
    "a byte-order mark": (CSV, {}, MARK + b"a\n1\n", MARK + b"a\n2\n", MARK + b"a\n1\n2\n"),
    "no header": (CSV, {"header": "absent"}, b"1,x\n", b"2,y\n", b"1,x\n2,y\n"),
    "quotes": (CSV, {}, b'a,b\n"1","x\ny"\n', b'a,b\n2,"z\n"\n', b'a,b\n"1","x\ny"\n2,"z\n"\n'),
    "other signs": (
        CSV, {"delimiter": "semicolon", "decimal": "comma", "missing": "x"},
        b"a;b\n1,5;x\n", b"a;b\nx;2,5\n", b"a;b\n1,5;x\nx;2,5\n",
    ),
    "tabs": (TSV, {}, b"a\tb\n1\t\n", b"a\tb\n\t2\n\t\n", b"a\tb\n1\t\n\t2\n\t\n"),
    "an empty column": (CSV, {}, b"a,b\n1,\n", b"a,b\n2,x\n", b"a,b\n1,\n2,x\n"),
    "JSON lines": (
        JSONL, {}, b'{"a":1,"v":[1,2]}\n', b'{"v":[3,null]}\n{"a":2}\n',
        b'{"a":1,"v":[1,2]}\n{"v":[3,null]}\n{"a":2}\n',
    ),
    "numbers as texts": (JSONL, {}, b'{"a":"1"}\n', b'{"a":2}\n', b'{"a":"1"}\n{"a":2}\n'),
    "a text": (
        TEXT, {}, MARK + "ab é".encode(), MARK + " é\n\n".encode(), MARK + "ab é é\n\n".encode(),
    ),
}  # fmt: skip


def append(client: Any, dataset_id: str, data: Any, kind: str = CSV, **options: Any) -> Any:
    """POST an append; return the response."""
    headers = {"Idempotency-Key": options.pop("key")} if "key" in options else {}
    headers |= options.pop("headers", {})
    path = f"/v1/datasets/{dataset_id}/append"
    return client.post(path, data=data, content_type=kind, headers=headers, query_string=options)


def content(client: Any, dataset_id: str, **headers: str) -> bytes:
    """Return the bytes of a dataset."""
    response = client.get(f"/v1/datasets/{dataset_id}/content", headers=headers)
    assert response.status_code in (200, 206), response.json
    return bytes(response.data)


def pages(client: Any, dataset: dict[str, Any]) -> list[Any]:
    """Return all rows of a dataset, two a page; of a text none."""
    rows, after = list[Any](), 0
    while dataset["rows"] is not None:
        page = client.get(f"/v1/datasets/{dataset['id']}/rows?limit=2&after={after}").json
        rows, after = rows + page["data"], page["next_after"]
        if after is None:
            break
    return rows


def rounded(dataset: dict[str, Any]) -> dict[str, Any]:
    """Return what must be equal however a dataset came: means up to their rounding."""
    columns = [
        {name: pytest.approx(value, rel=1e-12) if isinstance(value, float) else value
         for name, value in column.items()}
        for column in dataset["columns"] or []
    ]  # fmt: skip
    others = {"parent", "parts", "created_at", "name", "columns"}
    return {name: value for name, value in dataset.items() if name not in others} | {"c": columns}


@pytest.mark.parametrize("case", CASES)
def test_an_appended_dataset_is_the_file_that_could_have_been_uploaded(
    client: Any, case: str
) -> None:
    kind, options, first, added, whole = CASES[case]
    parent = upload_new(client, first, kind, **options)
    appended = append(client, parent["id"], added, kind, key="k")
    assert appended.status_code == 201, appended.json
    dataset = appended.json
    part = whole[len(first) :]

    assert dataset["parent"] == parent["id"] and dataset["name"] == parent["name"]
    assert dataset["parts"] == [
        {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)} for data in (first, part)
    ]
    assert content(client, dataset["id"]) == whole
    border = len(first) - 1
    assert content(client, dataset["id"], Range=f"bytes={border}-") == whole[border:]
    rows = pages(client, dataset)
    again = append(client, parent["id"], added, kind, key="k")
    assert (again.status_code, again.json) == (201, dataset)
    assert upload(client, whole, kind, **options).status_code == 200, "these bytes are there"

    for dataset_id in (parent["id"], dataset["id"]):
        assert client.delete(f"/v1/datasets/{dataset_id}").status_code == 204
    uploaded = upload_new(client, whole, kind, **options)
    assert (uploaded["id"], uploaded["parts"]) == (dataset["id"], None)
    assert rounded(uploaded) == rounded(dataset)
    assert pages(client, uploaded) == rows


#: what does not fit -> what was there, what is appended, and the errors: row, column, value
MISFITS: dict[str, tuple[bytes, bytes, list[tuple[int | None, str | None, Any]]]] = {
    "a text among numbers": (b"a,b\n1,x\n", b"a,b\n2,y\nthree,z\n", [(2, "a", "three")]),
    "a time among numbers": (b"a\n1\n", b"a\n2020-01-01\n", [(1, "a", "2020-01-01")]),
    "a number among times": (b"a\n2020-01-01\n", b"a\n2020-01-02\n7\n", [(2, "a", "7")]),
    "two columns": (b"a,b\n1,2\n", b"a,b\nx,1\n1,y\n", [(1, "a", "x"), (2, "b", "y")]),
    "a field too many": (b"a,b\n1,2\n", b"a,b\n1,2\n1,2,3\n", [(2, None, "1,2,3")]),
    "other names": (b"a,b\n1,2\n", b"b,a\n1,2\n", [(None, None, "b, a")]),
    "no row": (b"a,b\n1,2\n", b"a,b\n", [(None, None, None)]),
    "a long class": (b"a\nx\n", b"a\ny\n" + b"z" * 256 + b"\n", [(2, "a", "z" * 200 + "…")]),
    "too many classes": (
        b"a\n" + b"".join(b"x%d\n" % at for at in range(999)),
        b"a\n" + b"".join(b"y%d\n" % at for at in range(5)), [(2, "a", "y1")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", MISFITS)
def test_a_row_that_does_not_fit_refuses_all(client: Any, settings: Settings, case: str) -> None:
    first, added, expected = MISFITS[case]
    parent = upload_new(client, first)
    refused = append(client, parent["id"], added)

    assert (refused.status_code, refused.json["type"][-12:]) == (422, "invalid-data")
    errors = refused.json["errors"]
    assert [
        (error.get("row"), error.get("column"), error.get("value")) for error in errors
    ] == expected
    assert all(error["detail"] for error in errors)
    assert [dataset["id"] for dataset in client.get("/v1/datasets").json["data"]] == [parent["id"]]
    assert len(stored_files(settings)) == 1


def stored_files(settings: Settings) -> list[Path]:
    """Return the files with bytes of datasets, unfinished ones too."""
    root = settings.artifacts if isinstance(settings.artifacts, Path) else Path(settings.artifacts)
    return [path for path in (root / "blobs").rglob("*") if path.is_file()]


def test_what_cannot_be_appended_to_says_so(client: Any) -> None:
    arrays = npz_of(inputs=[[1.0], [2.0]], targets=[0, 1])
    npz = upload_new(client, arrays, NPZ)["id"]
    blank = upload_new(client, b"a\n1\n\n\n")["id"]
    table = upload_new(client, PETS)["id"]

    for dataset_id, data, kind, status, word in (
        (npz, arrays, NPZ, 422, "upload the whole"),
        (blank, b"a\n2\n", CSV, 422, "blank lines"),
        (table, b'{"a":1}', JSONL, 415, "text/csv"),
        (table, ROWS, TSV, 400, "delimiter comma"),
        ("ds_" + "a" * 26, ROWS, CSV, 404, "no"),
    ):
        refused = append(client, dataset_id, data, kind)
        assert refused.status_code == status and word in refused.text, refused.json


def test_rows_come_gzipped_or_in_a_form_and_in_any_pieces(client: Any) -> None:
    parent = upload_new(client, PETS)["id"]
    plain = append(client, parent, ROWS).json
    packed = append(client, parent, gzip.compress(ROWS), headers={"Content-Encoding": "gzip"})
    form = append(client, parent, {"f": (io.BytesIO(ROWS), "rows.csv")}, FORM)

    assert (packed.status_code, form.status_code) == (200, 200), (packed.json, form.json)
    assert plain == packed.json == form.json


def test_parts_are_shared_counted_once_and_kept_as_long_as_one_dataset_has_them(
    client: Any, store: "redis.Redis", settings: Settings
) -> None:
    def used() -> int:
        return int(client.get("/v1/usage").json["dataset_bytes"]["used"])

    files = ArtifactStore(settings.artifacts)
    prepare_store(store, files, settings)
    parent = upload_new(client, PETS)
    child = append(client, parent["id"], ROWS).json
    grown = append(client, child["id"], b"weight,colour,age,pet\n1,red,1,cat\n").json
    whole = content(client, grown["id"])
    assert len(grown["parts"]) == 3 and len(stored_files(settings)) == 3
    assert used() == grown["bytes"] == len(whole)

    for dataset_id in (parent["id"], child["id"]):
        assert client.delete(f"/v1/datasets/{dataset_id}").status_code == 204
    assert used() == grown["bytes"] and len(stored_files(settings)) == 3
    store.flushall()
    assert rebuild.rebuild(store, files) == 0
    assert client.get(f"/v1/datasets/{grown['id']}").json == grown
    assert content(client, grown["id"]) == whole and used() == grown["bytes"]

    # the rebuilt store knows who shares what
    twins = [upload_new(client, PETS)]
    twins.append(append(client, twins[0]["id"], ROWS).json)
    assert twins[1]["id"] == child["id"] and len(stored_files(settings)) == 3
    for twin in twins:
        assert client.delete(f"/v1/datasets/{twin['id']}").status_code == 204
    assert content(client, grown["id"]) == whole and used() == grown["bytes"]

    assert client.delete(f"/v1/datasets/{grown['id']}").status_code == 204
    assert used() == 0 and stored_files(settings) == []


def test_a_damaged_part_is_told_by_every_reader(client: Any, settings: Settings) -> None:
    parent = upload_new(client, PETS)
    child = append(client, parent["id"], ROWS).json
    (file,) = [path for path in stored_files(settings) if path.stat().st_size == len(PETS)]
    data = bytearray(file.read_bytes())
    data[30] ^= 1
    file.chmod(0o600)
    file.write_bytes(data)

    path = f"/v1/datasets/{child['id']}"
    answers = [client.get(f"{path}/content"), client.get(f"{path}/rows")]
    answers.append(append(client, child["id"], ROWS))
    file.unlink()
    answers.append(client.get(f"{path}/content"))
    for answer in answers:
        assert (answer.status_code, answer.json["type"][-7:]) == (500, "damaged")


@pytest.mark.parametrize(
    "point",
    [
        "upload:write", "upload:fsync", "store:schedule_blob_deletion:after", "upload:rename",
        "store:add_dataset:before", "store:add_dataset:after", "archive:write", "archive:rename",
    ],
)  # fmt: skip
def test_a_process_killed_at_any_step_leaves_nothing_or_the_whole(
    client: Any, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    parent = upload_new(client, PETS)
    fault = {"point": point, "action": "kill"}
    (tmp_path / "one.fault").write_text(json.dumps(fault))
    if (child := os.fork()) == 0:
        monkeypatch.setattr(fault_points, "_faults_folder", tmp_path)
        append(client, parent["id"], ROWS, key="k")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL

    listed = client.get("/v1/datasets").json["data"]
    assert listed[-1] == parent and len(listed) <= 2
    whole = PETS + ROWS.split(b"\n", 1)[1]
    assert [content(client, dataset["id"]) for dataset in listed[:-1]] in ([], [whole])
    again = append(client, parent["id"], ROWS)
    assert again.status_code == (200 if listed[:-1] else 201)
    assert content(client, again.json["id"]) == whole
    assert content(client, parent["id"]) == PETS
