"""`python -m api` as it is run: over real HTTP, without torch, and not at all where it must not."""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from jobs.store.connection import connect
from tests.api_process import running_api
from tests.support import (
    ADMIN_KEY,
    ROOT,
    process_environment,
    running_store,
    small_spec,
)

WITHOUT_TORCH = """
import os, sys
from api.app import create_app
from jobs.settings import Settings

client = create_app(Settings.from_env(os.environ)).test_client()
key = {"Authorization": "Bearer " + os.environ["TICKFORGE_ADMIN_KEY"]}
spec = {"model": {"family": "mlp"}, "data": {"source": "synthetic", "kind": "regression"},
        "budget": {"ticks": 5}}
answers = [
    client.post("/v1/jobs", json=spec, headers=key),
    client.post("/v1/jobs/plan", json=spec, headers=key),
    client.get("/v1/jobs", headers=key), client.get("/openapi.json"),
]
assert [answer.status_code for answer in answers] == [202, 200, 200, 200], answers
print("torch" in sys.modules, "ticks" in sys.modules, "workers" in sys.modules)
"""


def refusal(**environment: str) -> str:
    """What `python -m api` says on standard error when it ends with code 2, and nothing else."""
    completed = subprocess.run(
        [sys.executable, "-m", "api"], cwd=ROOT, capture_output=True, text=True, timeout=30,
        env={name: value for name, value in environment.items() if value},
    )  # fmt: skip
    assert (completed.returncode, completed.stdout) == (2, "")
    (line,) = completed.stderr.splitlines()
    return line


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"no http\r\n\r\n", 400),
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 9000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nbad header\r\n\r\n", 400),
    ],
)
def test_a_request_that_is_not_http_is_answered_with_a_problem(
    api: httpx.Client, sent: bytes, status: int
) -> None:
    response = exchange(api, sent)
    head, _, body = response.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"application/problem+json" in head
    assert json.loads(body)["status"] == status


def test_a_broken_chunk_is_400(api: httpx.Client) -> None:
    head = (
        b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Authorization: Bearer " + ADMIN_KEY.encode() + b"\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    assert exchange(api, head + b"zz\r\n{}\r\n").startswith(b"HTTP/1.1 400 ")


def exchange(client: httpx.Client, sent: bytes) -> bytes:
    """Send bytes as they are; gives all that comes until the server closes."""
    url = client.base_url
    with socket.create_connection((url.host, url.port), timeout=10) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while piece := connection.recv(65536):
            received += piece
    return received


@pytest.fixture(scope="module")
def api(empty_store: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with running_api(empty_store, tmp_path_factory.mktemp("data")) as client:
        yield client


def test_a_job_over_real_http(api: httpx.Client) -> None:
    response = api.post("/v1/jobs", json=small_spec())
    assert response.status_code == 202
    path = response.headers["Location"]
    tag = api.get(path).headers["ETag"]
    same = api.get(path, headers={"If-None-Match": tag})
    assert (same.status_code, same.content) == (304, b"")
    csv = api.get(f"{path}/history", headers={"Accept": "text/csv"})
    assert csv.text == "tick,loss\n"
    assert api.post(f"{path}/cancel").json()["status"] == "cancelled"
    assert api.delete(path).status_code == 204
    assert api.get(path).status_code == 404
    assert api.request("BREW", "/v1/jobs").status_code == 405


def test_a_body_sent_in_chunks_is_bounded_too(api: httpx.Client) -> None:
    def chunks(count: int) -> Iterator[bytes]:
        yield json.dumps(small_spec()).encode()
        for _ in range(count):
            yield b" " * 1024

    headers = {"Content-Type": "application/json"}
    assert api.post("/v1/jobs", content=chunks(1), headers=headers).status_code == 202
    assert api.post("/v1/jobs", content=chunks(1100), headers=headers).status_code == 413
    assert api.get("/healthz").status_code == 200


def test_many_slow_connections_starve_nobody(api: httpx.Client) -> None:
    url = api.base_url
    idle = [socket.create_connection((url.host, url.port)) for _ in range(100)]
    try:
        for connection in idle:
            connection.sendall(b"GET /v1/jobs HTTP/1.1\r\n")
        assert api.get("/healthz").status_code == 200
    finally:
        for connection in idle:
            connection.close()


def test_one_key_sent_by_many_at_once_makes_one_job(api: httpx.Client) -> None:
    job_ids: list[str] = []

    def submit() -> None:
        headers = {**api.headers, "Idempotency-Key": "at once"}
        response = httpx.post(
            f"{api.base_url}/v1/jobs", json=small_spec(), headers=headers, verify=False
        )
        job_ids.append(response.json()["id"])

    threads = [threading.Thread(target=submit) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(job_ids) == 16 and len(set(job_ids)) == 1


def test_the_api_runs_without_torch(store: Any, store_server: str, tmp_path: Path) -> None:
    completed = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH], cwd=ROOT, capture_output=True, text=True, timeout=60,
        env=process_environment(store_server, tmp_path),
    )  # fmt: skip
    assert completed.returncode == 0, completed.stderr
    assert completed.stdout.splitlines()[-1] == "False False False"


def test_the_api_does_not_start_without_an_admin_key(store_server: str, tmp_path: Path) -> None:
    environment = process_environment(store_server, tmp_path)
    assert "TICKFORGE_ADMIN_KEY is not set" in refusal(**{**environment, "TICKFORGE_ADMIN_KEY": ""})


def test_the_api_does_not_start_with_an_invalid_setting(store_server: str, tmp_path: Path) -> None:
    line = refusal(**process_environment(store_server, tmp_path, TICKFORGE_PORT="http"))
    assert "TICKFORGE_PORT='http': a whole number from 0 to 65535" in line


def test_the_api_does_not_start_on_a_store_that_would_lose_jobs(tmp_path: Path) -> None:

    with running_store() as server:
        store = connect(server.url)
        store.config_set("maxmemory-policy", "allkeys-lru")
        store.close()
        line = refusal(**process_environment(server.url, tmp_path))
    assert "maxmemory-policy=allkeys-lru" in line and "noeviction" in line


def test_a_refused_body_leaves_the_connection_fit_for_the_next_request(api: httpx.Client) -> None:
    large = b" " * (3 << 20)
    headers = {"Content-Type": "application/json"}
    for _ in range(5):
        assert api.post("/v1/jobs", content=large, headers=headers).status_code == 413
        assert api.get("/v1/version").status_code == 200
        unknown = {**headers, "Authorization": "Bearer unknown"}
        assert api.post("/v1/jobs", content=large, headers=unknown).status_code == 401
        assert api.get("/v1/version").status_code == 200


def test_an_answer_without_a_body_has_no_media_type(api: httpx.Client) -> None:
    response = api.options("/v1/jobs")

    assert response.status_code == 200 and "Content-Type" not in response.headers
