"""Ended jobs that no rule keeps are deleted, in bounded steps; what must stay stays."""

from collections.abc import Callable
from typing import Any

import pytest
import redis

from jobs import rebuild
from jobs.archive.store_identity import write_store_id
from jobs.errors import NotTerminal
from jobs.files.artifacts import ArtifactStore
from jobs.job_deletion import INTERRUPTED_AFTER_MS, JobDeletion
from jobs.ledger.client import JobLedger
from jobs.retention import DAY_MS, Retention
from jobs.settings import Settings
from jobs.store import keys
from jobs.tenants import prepare_tenants
from tests.manual_worker import ManualWorker
from tests.tenant_counts import check_counters

TENANT = "default"
Submit = Callable[..., str]


class Service:
    """A tenant's jobs, its rules, and the worker's task that applies them."""

    def __init__(self, client: Any, submit: Submit, store: Any, settings: Settings) -> None:
        self.http, self.submit, self.store, self.settings = client, submit, store, settings
        self.files = ArtifactStore(settings.artifacts)
        self.retention = Retention(store, self.files)

    def ended(self, count: int, **changes: Any) -> list[str]:
        """Submit jobs and cancel them, in this order; each ends a day before the next one."""
        job_ids = [self.submit(**changes) for _ in range(count)]
        for job_id in job_ids:
            assert self.http.post(f"/v1/jobs/{job_id}/cancel").status_code == 200
        for age, job_id in enumerate(reversed(job_ids)):
            self.set_age(job_id, age)
        return job_ids

    def set_age(self, job_id: str, days: float) -> None:
        """Let a job have ended so many days ago."""
        now = self.store.time()[0] * 1000
        ended_ms = int(now - days * DAY_MS)
        self.store.zadd(keys.ended_jobs(TENANT), {job_id: ended_ms})
        self.store.hset(keys.job(TENANT, job_id), "finished_ms", ended_ms)

    def trained(self, *, pinned: bool) -> str:
        """Return a job that ended long ago with a checkpoint."""
        job_id = self.submit()
        worker = ManualWorker(self.store, self.settings)
        worker.record([1.0] * 20)
        worker.save(is_final=True)
        worker.end(stopped_by="budget")
        self.http.patch(f"/v1/jobs/{job_id}/checkpoints/20", json={"pinned": pinned})
        self.set_age(job_id, 500)
        return job_id

    def rules(self, **rules: int | None) -> None:
        patched = self.http.patch(f"/v1/tenants/{TENANT}", json={"retention": rules})
        assert patched.status_code == 200, patched.json

    def apply(self, seconds: float = 60) -> int:
        self.store.delete(keys.RETENTION_LOCK)
        return self.retention.apply_some(seconds, 60)

    def left(self) -> list[str]:
        page = self.http.get("/v1/jobs?limit=1000&order=asc").json["data"]
        return [job["id"] for job in page]

    def events(self) -> list[dict[str, Any]]:
        return list(self.http.get("/v1/usage/events?limit=1000").json["data"])


@pytest.fixture
def service(client: Any, submit: Submit, store: "redis.Redis", settings: Settings) -> Service:
    return Service(client, submit, store, settings)


def test_without_a_rule_nothing_is_deleted(service: Service) -> None:
    job_ids = service.ended(2)
    assert service.apply() == 0 and service.left() == job_ids
    assert service.events() == []


@pytest.mark.parametrize(
    ("rules", "stay"),
    [
        ({"keep_days": 2}, 2),  # of ages 0, 1, 2 (and a moment) …
        ({"keep_last": 3}, 3),
        ({"keep_last": 9}, 6),
        ({"keep_days": 4, "keep_last": 1}, 4),  # a job stays if either rule keeps it
        ({"keep_days": 1, "keep_last": 5}, 5),
    ],
)
def test_a_job_stays_while_a_rule_keeps_it(
    service: Service, rules: dict[str, int], stay: int
) -> None:
    live, job_ids = service.submit(), service.ended(6)
    service.rules(**rules)
    assert service.apply() == 6 - stay
    assert service.left() == [live, *job_ids[6 - stay :]]
    assert service.apply() == 0
    check_counters(service.store, TENANT)


def test_what_retention_did_is_an_event_that_outlives_the_job_and_the_store(
    service: Service,
) -> None:
    first, second = service.ended(2, name="old")
    service.rules(keep_last=1, keep_days=1)
    service.set_age(first, 2)
    assert service.apply() == 1
    (event,) = service.events()
    assert (event["seq"], event["type"]) == (1, "job_deleted")
    assert event["data"].pop("finished_at") < event["at"]
    expected = {"job": first, "name": "old", "status": "cancelled"}
    assert event["data"] == {**expected, "rule": "keep_days 1 and keep_last 1"}
    assert service.http.get(f"/v1/jobs/{first}").status_code == 404
    assert not service.files.job_folder(TENANT, first).exists()

    before = service.events()
    service.store.flushall()
    write_store_id(service.files, "u")
    assert rebuild.rebuild(service.store, service.files) == 0
    assert service.events() == before and service.left() == [second]
    service.set_age(second, 3)
    service.rules(keep_days=1, keep_last=None)
    assert service.apply() == 1
    pages = [service.http.get(f"/v1/usage/events?{q}").json for q in ("limit=1", "after=1")]
    assert [page["data"][0]["seq"] for page in pages] == [1, 2]
    assert [page["has_more"] for page in pages] == [True, False]


def test_a_tenant_keeps_its_newest_thousand_events(service: Service) -> None:
    service.store.hset(keys.tenant_usage(TENANT), "events", 1500)
    rest = '"at":1,"type":"job_deleted","data":{"finished_ms":"1"}}'
    old = {f'{{"seq":{n},{rest}': n for n in range(501, 1501)}
    service.store.zadd(keys.tenant_events(TENANT), old)
    service.ended(2)
    service.rules(keep_last=1)
    assert service.apply() == 1
    assert service.store.zcard(keys.tenant_events(TENANT)) == 1000
    newest = service.http.get("/v1/usage/events?order=desc&limit=1").json["data"]
    assert [event["seq"] for event in newest] == [1501]


def test_a_pinned_checkpoint_and_a_live_jobs_parent_are_spared(service: Service) -> None:
    pinned, parent, other = (service.trained(pinned=n == 0) for n in range(3))
    service.rules(keep_days=1)
    verify = service.http.post(f"/v1/jobs/{parent}/verify")
    assert verify.status_code == 202
    assert service.apply() == 1
    assert service.left() == [pinned, parent, verify.json["id"]]
    assert [event["data"]["job"] for event in service.events()] == [other]
    service.http.post(f"/v1/jobs/{verify.json['id']}/cancel")
    service.http.patch(f"/v1/jobs/{pinned}/checkpoints/20", json={"pinned": False})
    assert service.apply() == 2
    assert service.left() == [verify.json["id"]]


def test_work_is_bounded_and_spared_jobs_do_not_stand_in_the_way(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    spared = [service.trained(pinned=True) for _ in range(3)]
    job_ids = service.ended(4)
    monkeypatch.setattr("jobs.retention.BATCH_SIZE", 2)
    monkeypatch.setattr("jobs.retention.MAX_CANDIDATES", 4)
    service.rules(keep_last=1)
    assert service.apply() == 1  # of the first four, three are spared
    assert service.apply() == 2
    assert service.left() == [*spared, job_ids[-1]]
    service.ended(3)
    counts = [service.apply(0) for _ in range(8)]  # no time: one job at a call, or less
    assert set(counts) <= {0, 1} and sum(counts) == 3
    assert service.retention.apply_some(60, 60) == 0, "another process was there just now"


def test_a_deletion_that_was_cut_short_is_completed(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = service.trained(pinned=False)
    folder = service.files.job_folder(TENANT, job_id)
    JobLedger(service.store).delete(TENANT, job_id)  # and its process dies
    tombstone = service.files.root / "tickforge.archive" / "deleted" / f"{TENANT}.{job_id}.json"
    assert service.apply() == 0 and folder.exists(), "it may be at work still"
    service.store.zadd(
        keys.PENDING_JOB_REMOVALS,
        {keys.job_member(TENANT, job_id): service.store.time()[0] * 1000 - INTERRUPTED_AFTER_MS},
        xx=True,
    )
    assert not tombstone.exists()
    service.apply()
    assert tombstone.exists() and not folder.exists()
    assert not service.store.exists(keys.PENDING_JOB_REMOVALS)


def test_files_that_a_disk_keeps_are_removed_later(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = service.trained(pinned=False)

    def refuse(*_names: str) -> None:
        raise OSError(5, "no")

    with monkeypatch.context() as patch:
        patch.setattr(ArtifactStore, "remove_job", refuse)
        assert service.http.delete(f"/v1/jobs/{job_id}").status_code == 204
    assert service.store.zcard(keys.PENDING_JOB_REMOVALS) == 1
    service.store.zadd(keys.PENDING_JOB_REMOVALS, {keys.job_member(TENANT, job_id): 1})
    service.apply()
    assert not service.files.job_folder(TENANT, job_id).exists()


def test_a_live_job_is_never_deleted_by_a_rule(service: Service) -> None:
    job_id = service.submit()
    with pytest.raises(NotTerminal):
        JobDeletion(service.store, service.files).delete(TENANT, job_id, spare=True, rule="r")
    assert service.left() == [job_id]


def test_jobs_of_an_earlier_build_are_known_by_their_end(service: Service) -> None:

    job_ids = service.ended(3)
    service.store.delete(keys.ended_jobs(TENANT), keys.waiting_tenants("cpu"))
    prepare_tenants(service.store, {})
    service.rules(keep_days=1)
    assert service.apply() == 2
    assert service.left() == job_ids[2:]


@pytest.mark.parametrize(
    ("query", "gone", "stay"),
    [
        ("status=cancelled", "abde", 0),
        ("status=succeeded&status=failed", "", 0),
        ("label=team:x", "ab", 1),
        ("label=team:x&label=day:1", "a", 0),
        ("label=team:y", "", 0),
        ("older_than=60h", "ab", 0),
        ("older_than=1d&label=team:x", "ab", 0),
        ("older_than=2020-01-01T00:00:00Z", "", 0),
        ("older_than=2990-01-01T00:00:00%2B02:00&status=cancelled", "abde", 0),
    ],
)
def test_a_bulk_deletion_takes_what_matches_all_filters(
    service: Service, query: str, gone: str, stay: int
) -> None:
    names = dict(zip("ab", service.ended(1, labels={"team": "x", "day": "1"}), strict=False))
    names["b"] = service.ended(1, labels={"team": "x"})[0]
    names["c"] = service.submit(labels={"team": "x"})
    names |= dict(zip("de", service.ended(2), strict=True))
    for name, days in (("a", 4), ("b", 3), ("d", 0.5), ("e", 0)):
        service.set_age(names[name], days)
    response = service.http.delete(f"/v1/jobs?{query}")
    assert response.status_code == 200, response.json
    expected = {"deleted": len(gone), "kept": stay, "next_after": None, "has_more": False}
    assert response.json == expected
    assert service.left() == [names[name] for name in sorted(names) if name not in gone]
    assert service.events() == []
    check_counters(service.store, TENANT)


def test_a_bulk_deletion_spares_and_goes_on_where_it_ended(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    spared = service.trained(pinned=True)
    job_ids = service.ended(4)
    monkeypatch.setattr("jobs.queries.ended_jobs.MAX_CANDIDATES", 2)
    query, results = "status=cancelled&status=succeeded", []
    after = ""
    while not results or results[-1]["has_more"]:
        results.append(service.http.delete(f"/v1/jobs?{query}{after}").json)
        after = f"&after={results[-1]['next_after']}"
    assert [(result["deleted"], result["kept"]) for result in results] == [(1, 1), (2, 0), (1, 0)]
    assert service.left() == [spared] and len(job_ids) == 4


WRONG_DELETIONS = [
    ("", "label"),
    ("status=running", "status"),
    ("label=team", "label"),
    ("older_than=30", "older_than"),
    ("older_than=2026-01-01T00:00:00", "older_than"),
    ("older_than=0d", "older_than"),
    ("older_than=1d&limit=5", "limit"),
    ("older_than=1d&after=x", "after"),
]


def test_a_wrong_bulk_deletion_is_400_and_deletes_nothing(service: Service) -> None:
    (job_id,) = service.ended(1)
    for query, parameter in WRONG_DELETIONS:
        refused = service.http.delete(f"/v1/jobs?{query}")
        assert refused.status_code == 400, query
        assert refused.json["errors"][0]["parameter"] == parameter
    assert service.left() == [job_id]
