"""/metrics: every request counted once, over all processes, and never under a job's name."""

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from api.server import METRICS_FOLDER_PREFIX
from jobs.files.locked_folder import LockedFolder
from jobs.queries import worker_registry
from jobs.settings import Settings
from tests.api_process import running_api
from tests.manual_worker import ManualWorker
from tests.support import StoreServer, running_store, settings_for, small_spec, wait_until
from tests.support_api import ReadingClient

STREAM = {"Accept": "text/event-stream"}
Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def read(text: str) -> Series:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(text: str, name: str, **labels: str) -> float | None:
    return read(text).get((name, frozenset(labels.items())))


def test_requests_are_counted_by_endpoint_method_and_status(client: Any) -> None:
    client.post("/v1/jobs", json=small_spec())
    for _ in range(3):
        client.get("/v1/jobs")
    client.get("/v1/jobs/job_" + "a" * 26)
    client.get("/nothing")
    client.open("/v1/jobs", method="BREW")
    response = client.get("/metrics")
    assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    for endpoint, method, status, count in (
        ("submit_job", "POST", "202", 1),
        ("list_jobs", "GET", "200", 3),
        ("get_job", "GET", "404", 1),
        ("none", "GET", "404", 1),
        ("none", "other", "405", 1),
    ):
        labels = {"endpoint": endpoint, "method": method, "status": status}
        assert value(response.text, "tickforge_requests_total", **labels) == count, labels
    assert value(response.text, "tickforge_request_seconds_count", endpoint="list_jobs") == 3


def test_jobs_queues_workers_and_ticks_are_counted(
    client: Any, submit: Any, store: Any, settings: Settings
) -> None:
    for _ in range(3):
        submit()
    worker = ManualWorker(store, settings)
    worker.record([1.0] * 7)
    worker_registry.register(store, "w1", {"queue": "cpu"}, 30)
    text = client.get("/metrics").text
    assert value(text, "tickforge_jobs", status="queued") == 2
    assert value(text, "tickforge_jobs", status="running") == 1
    assert value(text, "tickforge_jobs", status="failed") == 0
    assert value(text, "tickforge_queue_depth", queue="cpu") == 2
    assert value(text, "tickforge_workers", queue="cpu") == 1
    assert value(text, "tickforge_ticks_accepted_total") == 7
    assert value(text, "tickforge_store_up") == 1
    worker.record([1.0] * 2)
    assert value(client.get("/metrics").text, "tickforge_ticks_accepted_total") == 9


def test_a_tenants_key_counts_its_own_jobs_and_an_admins_all(client: Any, submit: Any) -> None:
    submit()
    body = {"tenant": "others", "scopes": ["read", "submit"]}
    others = client.application.test_client()
    secret = client.post("/v1/keys", json=body).json["secret"]
    others.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {secret}"
    for _ in range(2):
        others.post("/v1/jobs", json=small_spec())
    assert value(others.get("/metrics").text, "tickforge_jobs", status="queued") == 2
    assert value(client.get("/metrics").text, "tickforge_jobs", status="queued") == 3


def test_no_label_has_unbounded_values(client: Any, submit: Any) -> None:
    job_id = submit(name="a-name", labels={"k": "a-label"})
    client.get(f"/v1/jobs/{job_id}")
    client.get("/v1/surprise")
    text = client.get("/metrics").text
    for word in (job_id, "job_", "key_", "a-name", "a-label", "surprise"):
        assert word not in text, word
    names = {label for _, labels in read(text) for label, _ in labels}
    assert names == {"endpoint", "method", "status", "le", "queue"}


@pytest.fixture
def server() -> Iterator[StoreServer]:
    with running_store() as server:
        yield server


def test_an_unavailable_store_is_reported_and_hides_no_other_metric(
    server: StoreServer, tmp_path: Path
) -> None:
    from api.app import create_app

    app = create_app(settings := settings_for(server.url, tmp_path))
    app.test_client_class = ReadingClient
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {settings.admin_key}"
    server.kill()
    response = client.get("/metrics")
    assert response.status_code == 200
    assert value(response.text, "tickforge_store_up") == 0
    assert "tickforge_jobs" not in response.text


def test_counts_are_summed_over_processes_and_a_dead_one_loses_none(
    store: Any, store_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = {"TMPDIR": str(tmp_path)}
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    living, dead = LockedFolder(METRICS_FOLDER_PREFIX), tmp_path / f"{METRICS_FOLDER_PREFIX}dead"
    dead.mkdir()
    with running_api(store_server, tmp_path, TICKFORGE_API_PROCESSES="2", **folders) as client:
        headers = {**client.headers, "Connection": "close"}  # each request may meet either process
        ask(client, 40, headers)
        text = client.get("/metrics").text
        labels = {"endpoint": "list_jobs", "method": "GET", "status": "200"}
        assert value(text, "tickforge_requests_total", **labels) == 40
        job = client.post("/v1/jobs", json=small_spec()).json()["id"]
        with client.stream("GET", f"/v1/jobs/{job}/events", headers=STREAM):
            assert value(client.get("/metrics").text, "tickforge_held_requests") == 1
        (folder,) = set(tmp_path.glob("tickforge-metrics-*")) - {living.path}
        pids = {int(re.findall(r"_(\d+)\.db", path.name)[0]) for path in folder.glob("counter*")}
        assert len(pids) == 2, "both processes have answered"
        os.kill(min(pids), signal.SIGKILL)
        wait_until(lambda: not _alive(min(pids)), 10, "its end")
        ask(client, 20, headers)
        wait_until(
            lambda: value(client.get("/metrics").text, "tickforge_held_requests") == 0,
            10,
            "the end of the stream that was left",
        )
        text = client.get("/metrics").text
        assert value(text, "tickforge_requests_total", **labels) == 60
        assert value(text, "tickforge_held_requests") == 0
    assert not folder.exists() and not dead.exists() and living.path.exists()
    living.remove()


def ask(client: httpx.Client, times: int, headers: dict[str, str]) -> None:
    for _ in range(times):
        wait_until(lambda: _answered(client, headers), 10, "an answer")


def _answered(client: httpx.Client, headers: dict[str, str]) -> bool:
    try:
        url = f"{client.base_url}/v1/jobs"
        return httpx.get(url, headers=headers, verify=False).status_code == 200
    except httpx.TransportError:  # a connection that the killed process had taken
        return False


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
