"""A job's log over HTTP: the end of a running job's, the whole of an ended one's, from any byte."""

from pathlib import Path
from typing import Any

import pytest

from api.routes_logs import MAX_RUNNING_LOG_BYTES
from tests.held_requests import HeldRequest, run_later
from tests.manual_worker import ManualWorker
from workers.log import JobLog


@pytest.fixture
def path(worker: ManualWorker) -> str:
    return f"/v1/jobs/{worker.lease.job_id}/logs"


@pytest.fixture
def file(worker: ManualWorker) -> Path:
    path = worker.files.job_folder(worker.lease.tenant, worker.lease.job_id) / "log.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def parts(answer: Any) -> tuple[str, str, str]:
    headers = answer.headers
    return headers["X-First-Byte"], headers["X-Next-After"], headers["X-Complete"]


def test_a_jobs_log_can_be_read_from_any_byte(client: Any, worker: ManualWorker, path: str) -> None:
    log = JobLog(worker.files, worker.lease.tenant, worker.lease.job_id)
    log.write("erste Zeile: ß")
    first = client.get(path)
    assert first.content_type == "text/plain; charset=utf-8"
    assert first.text.endswith("erste Zeile: ß\n")
    assert parts(first) == ("0", str(len(first.data)), "false")

    log.write("second")
    rest = client.get(f"{path}?after={first.headers['X-Next-After']}")
    assert rest.text.endswith("second\n") and "erste" not in rest.text
    log.close()
    assert client.get(f"{path}?after=10000").data == b""


def test_a_log_without_entries_is_empty(client: Any, path: str) -> None:
    response = client.get(path)
    assert (response.status_code, response.data, parts(response)) == (200, b"", ("0", "0", "false"))


def test_a_running_jobs_log_is_shown_from_a_line_in_its_last_mebibyte(
    client: Any, worker: ManualWorker, path: str, file: Path
) -> None:
    line = b"x" * 99 + b"\n"
    file.write_bytes(line * 20_000)
    response = client.get(path)
    first, behind, _ = parts(response)
    assert MAX_RUNNING_LOG_BYTES - 100 < len(response.data) <= MAX_RUNNING_LOG_BYTES
    assert response.data.startswith(b"x" * 99) and int(first) % 100 == 0
    assert behind == "2000000" and response.content_length == len(response.data)

    worker.end("cancelled")
    whole = client.get(path)
    assert len(whole.data) == 2_000_000 and parts(whole) == ("0", "2000000", "true")
    assert client.get(f"{path}?after=1999900").data == line


def test_a_log_is_304_until_it_grows(client: Any, path: str, file: Path) -> None:
    file.write_bytes(b"one\n")
    known = {"If-None-Match": client.get(path).headers["ETag"]}
    assert client.get(path, headers=known).status_code == 304
    assert client.get(f"{path}?wait=0.1", headers=known).status_code == 304
    file.write_bytes(b"one\ntwo\n")
    assert client.get(path, headers=known).data == b"one\ntwo\n"


def test_a_request_for_a_log_is_held_until_it_grows(client: Any, path: str, file: Path) -> None:
    file.write_bytes(b"one\n")
    held = HeldRequest(client.application, f"{path}?after=4&wait=20").wait_until_held()
    run_later(0.1, lambda: file.write_bytes(b"one\ntwo\n")).join()
    assert held.wait_for_response(10).data == b"two\n"


def test_the_end_of_the_job_ends_a_wait(client: Any, worker: ManualWorker, path: str) -> None:
    held = HeldRequest(client.application, f"{path}?wait=20").wait_until_held()
    worker.end("cancelled")
    assert parts(held.wait_for_response(10)) == ("0", "0", "true")


def test_a_link_in_place_of_a_log_is_not_followed(
    client: Any, path: str, file: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    file.symlink_to(secret)
    response = client.get(path)
    assert (response.status_code, response.mimetype) == (500, "application/problem+json")
    assert b"secret" not in response.data


def test_the_log_of_an_unknown_job_is_404(client: Any) -> None:
    assert client.get(f"/v1/jobs/job_{'a' * 26}/logs").status_code == 404
    assert client.get("/v1/jobs/..%2f..%2fetc/logs").status_code == 404
