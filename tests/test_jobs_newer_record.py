"""A record that a newer version wrote is refused, never misread and never changed."""

from collections.abc import Callable
from typing import Any

import pytest
import redis

from jobs.errors import UnsupportedSchema
from jobs.settings import Settings
from jobs.store import keys
from tests.manual_worker import ManualWorker

Submit = Callable[..., str]


def written_by_a_newer_version(store: "redis.Redis", job_id: str) -> dict[bytes, bytes]:
    name = keys.job("default", job_id)
    store.hset(name, "schema", "2")
    record: dict[bytes, bytes] = store.hgetall(name)  # type: ignore[assignment]
    return record


@pytest.mark.parametrize(
    ("method", "path"),
    [("get", ""), ("post", "/cancel"), ("patch", ""), ("delete", ""), ("get", "/history")],
)
def test_the_api_answers_503_for_a_newer_record_and_changes_nothing(
    client: Any, store: "redis.Redis", submit: Submit, method: str, path: str
) -> None:
    job_id = submit()
    before = written_by_a_newer_version(store, job_id)

    body = {"json": {"notes": "mine"}} if method == "patch" else {}
    response = getattr(client, method)(f"/v1/jobs/{job_id}{path}", **body)

    assert response.status_code == 503 and response.json["type"].endswith(":newer-record")
    assert response.headers["Retry-After"]
    assert store.hgetall(keys.job("default", job_id)) == before


def test_no_worker_claims_a_newer_record_and_other_jobs_are_claimed(
    store: "redis.Redis", settings: Settings, submit: Submit
) -> None:
    newer, ours = submit(), submit()
    written_by_a_newer_version(store, newer)

    assert ManualWorker(store, settings).lease.job_id == ours
    with pytest.raises(AssertionError, match="no job to claim"):
        ManualWorker(store, settings)


def test_an_owner_writes_no_more_into_a_newer_record(
    store: "redis.Redis", settings: Settings, submit: Submit
) -> None:
    job_id = submit()
    worker = ManualWorker(store, settings)
    worker.record([0.5])
    before = written_by_a_newer_version(store, job_id)

    with pytest.raises(UnsupportedSchema, match=job_id):
        worker.record([0.25])
    with pytest.raises(UnsupportedSchema):
        worker.end("failed")
    assert store.hgetall(keys.job("default", job_id)) == before


def test_an_expired_lease_on_a_newer_record_is_left_alone(
    store: "redis.Redis", settings: Settings, submit: Submit
) -> None:
    job_id = submit()
    ManualWorker(store, settings)
    store.zadd(keys.leases("cpu"), {f"default/{job_id}": 1})
    before = written_by_a_newer_version(store, job_id)

    with pytest.raises(AssertionError, match="no job to claim"):
        ManualWorker(store, settings)
    assert store.hgetall(keys.job("default", job_id)) == before
