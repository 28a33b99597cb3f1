"""Checkpoint requests cost the same however many came before, and outlive store and upgrade."""

from pathlib import Path
from typing import Any

import pytest
import redis

from jobs import rebuild
from jobs.archive.backfill import backfill
from jobs.archive.job_file import archive_folder
from jobs.archive.store_identity import check_store_matches
from jobs.files.artifacts import ArtifactStore
from jobs.ledger.client import JobLedger
from jobs.settings import Settings
from jobs.store import keys
from tests.manual_worker import ManualWorker

TENANT = "default"


@pytest.fixture
def path(store: "redis.Redis", settings: Settings, worker: ManualWorker) -> str:
    check_store_matches(store, worker.files)
    worker.record([1.0])
    return f"/v1/jobs/{worker.lease.job_id}/checkpoints"


def request(client: Any, path: str, key: str) -> Any:
    response = client.post(path, json={}, headers={"Idempotency-Key": key})
    assert response.status_code == 202, response.json
    return response


def archived_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def test_a_checkpoint_request_costs_the_same_after_many_others(
    client: Any, store: "redis.Redis", worker: ManualWorker, path: str
) -> None:
    folder = archive_folder(worker.files, TENANT, worker.lease.job_id)
    sizes, sent = [], []
    for count in (10, 30, 10):
        stats: Any = store.info("stats")
        before, sent_before = archived_bytes(folder), stats["total_net_output_bytes"]
        for n in range(count):
            request(client, path, f"{len(sizes)}-{n}")
        stats = store.info("stats")
        sizes.append((archived_bytes(folder) - before) / count)
        sent.append((stats["total_net_output_bytes"] - sent_before) / count)

    assert sizes[2] < 1.2 * sizes[0] and sent[2] < 1.2 * sent[0], (sizes, sent)


def test_the_response_to_a_checkpoint_request_outlives_the_store(
    client: Any, store: "redis.Redis", worker: ManualWorker, path: str
) -> None:
    first = request(client, path, "one")
    store.flushall()
    assert rebuild.rebuild(store, worker.files) == 0
    again = request(client, path, "one")

    assert (again.json, again.headers["Idempotent-Replayed"]) == (first.json, "true")
    other = client.post(path, json={"name": "n"}, headers={"Idempotency-Key": "one"})
    assert other.status_code == 422
    job = path.removesuffix("/checkpoints")
    client.post(f"{job}/cancel")
    client.delete(job)
    assert client.post("/v1/jobs", json={}, headers={"Idempotency-Key": "one"}).status_code != 202


def test_requests_of_an_earlier_build_get_records_of_their_own_once(
    client: Any, store: "redis.Redis", worker: ManualWorker, path: str
) -> None:
    first = request(client, path, "one")
    folder = archive_folder(worker.files, TENANT, worker.lease.job_id) / "requests"
    (record,) = folder.iterdir()
    record.unlink()
    store.set(keys.ARCHIVED, "1")
    backfill(store, worker.files)
    backfill(store, worker.files)

    assert list(folder.iterdir()) == [record]
    store.flushall()
    assert rebuild.rebuild(store, worker.files) == 0
    assert request(client, path, "one").json == first.json


def test_a_job_with_ten_thousand_requests_can_be_deleted(
    store: "redis.Redis", worker: ManualWorker, settings: Settings
) -> None:
    lease = worker.lease
    name = keys.job_idempotency_keys(TENANT, lease.job_id)
    store.hset(name, mapping={f"key-{n}": "digest" for n in range(10_000)})
    worker.end("cancelled")

    deleted = JobLedger(store).delete(TENANT, lease.job_id)

    assert len(deleted.idempotency_keys) == 10_000
    assert store.hget(keys.idempotency(TENANT), "key-9999") == b"deleted -"


def test_artifacts_are_the_owners_alone_and_folders_of_earlier_builds_are_closed(
    client: Any, store: "redis.Redis", worker: ManualWorker, path: str
) -> None:
    request(client, path, "one")
    client.patch(path.removesuffix("/checkpoints"), json={"name": "n"})
    paths = [file for file in worker.files.root.rglob("*") if "tmp" not in file.name]
    open_to_others = [
        file for file in paths if file.stat().st_mode & 0o077 and file.name != "state.json"
    ]
    assert len(paths) > 5 and open_to_others == []

    for folder in (worker.files.root, worker.files.root / "default"):
        folder.chmod(0o755)
    ArtifactStore(worker.files.root).close_to_others()
    modes = [f.stat().st_mode & 0o777 for f in (worker.files.root, worker.files.root / "default")]
    assert modes == [0o700, 0o700]
