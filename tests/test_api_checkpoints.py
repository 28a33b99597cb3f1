"""Checkpoints over HTTP: the list, names, downloads whole and in ranges."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from jobs.job import Checkpoint
from tests.manual_worker import ManualWorker

WEIGHTS = bytes(range(256)) * 4000
SIZE = len(WEIGHTS)
TAG = f'"{hashlib.sha256(WEIGHTS).hexdigest()}"'


@pytest.fixture
def path(worker: ManualWorker) -> str:
    return f"/v1/jobs/{worker.lease.job_id}/checkpoints"


@pytest.fixture
def saved(worker: ManualWorker) -> Checkpoint:
    worker.record([1.0, 2.0])
    return worker.save(WEIGHTS)


@pytest.fixture
def file(path: str, saved: Checkpoint) -> str:
    return f"{path}/2/files/model.safetensors"


def test_checkpoints_are_listed_oldest_first_and_found_by_name(
    client: Any, worker: ManualWorker, path: str
) -> None:
    worker.save()
    for best, final in ((True, False), (False, False), (False, True)):
        worker.record([1.0])
        worker.save(is_best=best, is_final=final)

    page = client.get(path).json
    assert [checkpoint["tick"] for checkpoint in page["data"]] == [0, 1, 2, 3]
    assert (page["next_after"], page["has_more"]) == (None, False)
    for which, tick in (("initial", 0), ("best", 1), ("2", 2), ("final", 3), ("latest", 3)):
        assert client.get(f"{path}/{which}").json == page["data"][tick], which

    first = client.get(f"{path}?limit=3").json
    assert first["has_more"]
    rest = client.get(f"{path}?limit=3&after={first['next_after']}").json
    assert [checkpoint["tick"] for checkpoint in rest["data"]] == [3]


def test_a_checkpoint_lists_its_files_and_no_internal_field(
    client: Any, path: str, saved: Checkpoint
) -> None:
    body = client.get(f"{path}/2").json
    assert set(body) == {
        "tick", "name", "pinned", "created_at", "bytes", "metrics", "sha256", "files",
        "is_best", "is_final",
    }  # fmt: skip
    assert body["sha256"] == TAG.strip('"')
    weights = {"name": "model.safetensors", "bytes": SIZE, "sha256": body["sha256"]}
    assert weights in body["files"]


def test_the_list_is_304_until_a_checkpoint_is_saved(
    client: Any, worker: ManualWorker, path: str
) -> None:
    tag = client.get(path).headers["ETag"]
    assert client.get(path, headers={"If-None-Match": tag}).status_code == 304
    worker.save()
    assert client.get(path, headers={"If-None-Match": tag}).status_code == 200


def test_a_download_is_the_file_with_its_sha256_as_etag(client: Any, file: str) -> None:
    response = client.get(file)
    assert (response.status_code, response.data) == (200, WEIGHTS)
    assert response.content_length == SIZE
    assert response.headers["ETag"] == TAG
    assert response.headers["Accept-Ranges"] == "bytes"
    assert client.get(file, headers={"If-None-Match": TAG}).status_code == 304


def test_head_gives_the_size_and_sends_no_body(client: Any, file: str) -> None:
    response = client.head(file)
    assert (response.status_code, response.data, response.content_length) == (200, b"", SIZE)
    assert response.headers["ETag"] == TAG


@pytest.mark.parametrize(
    ("range_header", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=100-199", 100, 200),
        ("bytes=1000000-", 1_000_000, SIZE),
        ("bytes=-10", SIZE - 10, SIZE),
        (f"bytes=-{SIZE * 2}", 0, SIZE),
        (f"bytes={SIZE - 1}-{SIZE * 2}", SIZE - 1, SIZE),
    ],
)
def test_a_range_is_206_with_these_bytes(
    client: Any, file: str, range_header: str, start: int, stop: int
) -> None:
    response = client.get(file, headers={"Range": range_header})
    assert (response.status_code, response.data) == (206, WEIGHTS[start:stop])
    assert response.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{SIZE}"
    assert (response.content_length, response.headers["ETag"]) == (stop - start, TAG)


@pytest.mark.parametrize("range_header", [f"bytes={SIZE}-", "bytes=-0", f"bytes={SIZE}-{SIZE + 5}"])
def test_a_range_outside_the_file_is_416_with_its_size(
    client: Any, file: str, range_header: str
) -> None:
    response = client.get(file, headers={"Range": range_header})
    assert response.status_code == 416
    assert response.headers["Content-Range"] == f"bytes */{SIZE}"
    assert response.mimetype == "application/problem+json"


@pytest.mark.parametrize(
    "range_header", ["bytes=a-b", "bytes=-", "bytes=5-2", "bytes=--5", "bytes="]
)
def test_a_malformed_range_is_400_and_names_the_header(
    client: Any, file: str, range_header: str
) -> None:
    response = client.get(file, headers={"Range": range_header})
    assert (response.status_code, response.json["errors"][0]["header"]) == (400, "Range")


@pytest.mark.parametrize("range_header", ["lines=1-2", "bytes=0-1,5-6"])
def test_a_range_in_another_unit_or_several_ranges_get_the_whole_file(
    client: Any, file: str, range_header: str
) -> None:
    assert client.get(file, headers={"Range": range_header}).status_code == 200


@pytest.mark.parametrize(
    ("condition", "status"),
    [(TAG, 206), ('"other"', 200), (f"W/{TAG}", 200), ("Wed, 21 Oct 2026 07:28:00 GMT", 200)],
)
def test_if_range_gets_the_range_of_these_bytes_only(
    client: Any, file: str, condition: str, status: int
) -> None:
    headers = {"Range": "bytes=5-9", "If-Range": condition}
    assert client.get(file, headers=headers).status_code == status


@pytest.mark.parametrize(
    "name",
    [
        "manifest.json",
        "model.py",
        "..%2f..%2f..%2fadmin.key",
        "%2e%2e",
        "..",
        "%2fetc%2fpasswd",
        "model.safetensors%00",
        "model.safetensors%0a",
        "MODEL.SAFETENSORS",
        "..\\\\state.json",
    ],
)
def test_no_other_file_can_be_named(client: Any, path: str, saved: Checkpoint, name: str) -> None:
    response = client.get(f"{path}/2/files/{name}")
    assert response.status_code == 404
    assert response.mimetype == "application/problem+json"


@pytest.mark.parametrize("which", ["7", "best", "newest", "-1", "02", "2.0", "1e0", "%2e%2e"])
def test_no_other_checkpoint_can_be_named(
    client: Any, path: str, saved: Checkpoint, which: str
) -> None:
    assert client.get(f"{path}/{which}").status_code == 404
    assert client.get(f"{path}/{which}/files/model.safetensors").status_code == 404


def test_a_link_in_a_files_place_is_not_followed(
    client: Any, worker: ManualWorker, file: str, tmp_path: Path
) -> None:
    weights = next(worker.files.root.rglob("model.safetensors"))
    secret = tmp_path / "secret"
    secret.write_bytes(WEIGHTS)
    weights.unlink()
    weights.symlink_to(secret)
    response = client.get(file)
    assert (response.status_code, response.mimetype) == (404, "application/problem+json")


def test_a_lost_file_is_a_500_that_says_so(client: Any, worker: ManualWorker, file: str) -> None:
    next(worker.files.root.rglob("model.safetensors")).unlink()
    response = client.get(file)
    assert (response.status_code, response.json["type"]) == (500, "urn:tickforge:problem:damaged")


def test_a_dropped_checkpoint_is_404(
    client: Any, worker: ManualWorker, path: str, file: str
) -> None:
    worker.record([3.0])
    worker.save(drop=[2])
    assert client.get(file).status_code == 404
    assert [checkpoint["tick"] for checkpoint in client.get(path).json["data"]] == [3]
