"""Quotas of a tenant: set and read, held where they would be exceeded, and exact at any time."""

import gzip
import json
from typing import Any

import pytest

from jobs import rebuild
from jobs.archive.store_identity import write_store_id
from jobs.datasets.repository import DatasetRepository
from jobs.errors import InvalidSetting, QuotaExceeded
from jobs.files.artifacts import ArtifactStore
from jobs.job_deletion import JobDeletion
from jobs.ledger.owner import LeaseLedger
from jobs.queries import worker_registry
from jobs.settings import Settings
from jobs.spec.profiles import ParseOptions
from jobs.store import keys
from jobs.store.scripts import Scripts
from jobs.tenants import prepare_tenants
from tests.datasets import CSV, PETS
from tests.ledger_helpers import claim_job, expire_lease
from tests.manual_worker import STATE, ManualWorker
from tests.support import settings_for, small_spec
from tests.tenant_counts import check_counters, count_by_hand

TENANT = "/v1/tenants/default"
ONCE = {"Idempotency-Key": "once"}
NO_QUOTA = dict.fromkeys(("queued", "running", "spec_bytes", "dataset_bytes", "artifact_bytes"))


def limit(client: Any, **quotas: int | None) -> None:
    response = client.patch(TENANT, json={"quotas": quotas})
    assert response.status_code == 200, response.json


def used(client: Any, name: str) -> int:
    return int(client.get("/v1/usage").json[name]["used"])


def check_refused(response: Any, name: str, used: int, limit: int) -> None:
    assert (response.status_code, response.headers["Retry-After"]) == (429, "60"), response.json
    assert response.json["type"] == "urn:tickforge:problem:quota"
    assert {key: response.json[key] for key in ("name", "used", "limit")} == {
        "name": name, "used": used, "limit": limit,
    }  # fmt: skip


def upload(client: Any, data: bytes = PETS, **headers: str) -> Any:
    return client.post("/v1/datasets", data=data, headers={"Content-Type": CSV, **headers})


def tenant_client(client: Any, tenant: str) -> Any:
    body = {"tenant": tenant, "scopes": ["read", "submit"]}
    other = client.application.test_client()
    secret = client.post("/v1/keys", json=body).json["secret"]
    other.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {secret}"
    return other


def test_a_patch_is_merged_and_null_removes(client: Any, store: Any) -> None:
    fresh = client.get(TENANT).json
    assert (fresh["name"], fresh["quotas"]) == ("default", NO_QUOTA)
    assert fresh["retention"] == {"keep_days": None, "keep_last": None}
    body = {"quotas": {"queued": 5, "spec_bytes": 10**15 - 1}, "retention": {"keep_days": 30}}
    patched = client.patch(TENANT, json=body)
    assert patched.json["quotas"] == {**NO_QUOTA, **body["quotas"]}
    assert patched.json["usage"]["spec_bytes"] == {"used": 0, "limit": 10**15 - 1}
    client.patch(TENANT, json={"quotas": {"queued": None, "running": 0}})
    now = client.get(TENANT).json
    assert now["quotas"] == {**NO_QUOTA, "running": 0, "spec_bytes": 10**15 - 1}
    assert now["retention"] == {"keep_days": 30, "keep_last": None}
    assert client.patch(TENANT, json={}).json == now
    assert client.patch(TENANT, json={"quotas": None}).json["quotas"] == NO_QUOTA
    assert client.get("/v1/tenants").json["data"] == ["default"]
    assert client.get("/v1/tenants/UPPER").status_code == 404


WRONG_PATCHES: list[tuple[dict[str, Any], str]] = [
    ({"quota": {}}, "/quota"),
    ({"quotas": {"cpus": 1}}, "/quotas/cpus"),
    ({"quotas": {"queued": -1}}, "/quotas/queued"),
    ({"quotas": {"queued": 1.5}}, "/quotas/queued"),
    ({"quotas": {"queued": True}}, "/quotas/queued"),
    ({"quotas": {"artifact_bytes": 10**15}}, "/quotas/artifact_bytes"),
    ({"quotas": 5}, "/quotas"),
    ({"retention": {"keep_days": 0}}, "/retention/keep_days"),
    ({"retention": {"keep_last": "all"}}, "/retention/keep_last"),
    ({"retention": {"keep": 3}}, "/retention/keep"),
]


def test_a_wrong_patch_is_422_with_field_rule_and_value(client: Any, store: Any) -> None:
    for body, pointer in WRONG_PATCHES:
        refused = client.patch(TENANT, json={"quotas": {"running": 3}} | body)
        assert refused.status_code == 422
        assert [(error["pointer"], bool(error["detail"])) for error in refused.json["errors"]] == [
            (pointer, True)
        ]
    assert client.get(TENANT).json["quotas"] == NO_QUOTA


def test_a_tenant_reads_its_own_usage_and_an_admin_all(client: Any, store: Any) -> None:
    other = tenant_client(client, "team")
    client.patch("/v1/tenants/team", json={"quotas": {"queued": 7}, "retention": {"keep_last": 9}})
    job = other.post("/v1/jobs", json=small_spec())
    own = other.get("/v1/usage").json
    assert (own["tenant"], own["queued"]) == ("team", {"used": 1, "limit": 7})
    assert own["retention"] == {"keep_days": None, "keep_last": 9}
    assert job.status_code == 202 and own["spec_bytes"]["used"] > 100
    assert client.get("/v1/usage?tenant=team").json == own
    assert client.get("/v1/usage").json["queued"]["used"] == 0
    assert other.get("/v1/usage?tenant=default").status_code == 403
    for path in ("/v1/tenants", "/v1/tenants/team"):
        assert other.get(path).status_code == 403
    assert other.patch("/v1/tenants/team", json={"quotas": None}).status_code == 403


def test_a_submission_beyond_a_quota_is_429_and_leaves_nothing(
    client: Any, store: Any, settings: Settings
) -> None:
    first = client.post("/v1/jobs", json=small_spec(), headers=ONCE)
    size = used(client, "spec_bytes")
    for quotas, name, in_use in (
        ({"queued": 1}, "queued", 1),
        ({"queued": None, "spec_bytes": 2 * size - 1}, "spec_bytes", size),
    ):
        limit(client, **quotas)
        before = {key: store.dump(key) for key in store.scan_iter("*")}
        refused = client.post("/v1/jobs", json=small_spec(), headers={"Idempotency-Key": "two"})
        check_refused(refused, name, in_use, quotas[name] or 0)
        assert {key: store.dump(key) for key in store.scan_iter("*")} == before
        assert len(list((settings.artifacts / "tickforge.archive" / "submitted").iterdir())) == 1
        replay = client.post("/v1/jobs", json=small_spec(), headers=ONCE)
        assert (replay.status_code, replay.json["id"]) == (202, first.json["id"])
    limit(client, spec_bytes=2 * size)
    again = client.post("/v1/jobs", json=small_spec(), headers={"Idempotency-Key": "two"})
    assert again.status_code == 202
    assert tenant_client(client, "team").post("/v1/jobs", json=small_spec()).status_code == 202


def test_beyond_the_artifacts_quota_nothing_new_begins_and_what_runs_goes_on(
    client: Any, worker: ManualWorker
) -> None:
    worker.record([1.0] * 5)
    worker.save(b"x" * 100)
    limit(client, artifact_bytes=100)
    in_use = used(client, "artifact_bytes")
    assert in_use > 100
    job = f"/v1/jobs/{worker.lease.job_id}"
    check_refused(client.post("/v1/jobs", json=small_spec()), "artifact_bytes", in_use, 100)
    check_refused(client.post(f"{job}/checkpoints", json={}), "artifact_bytes", in_use, 100)
    worker.record([1.0] * 5)
    worker.save(b"x" * 100)
    worker.end("cancelled")
    assert client.get(job).json["bytes"] == used(client, "artifact_bytes") > in_use
    assert client.delete(job).status_code == 204
    assert client.post("/v1/jobs", json=small_spec()).status_code == 202


def test_an_upload_beyond_the_quota_is_429_before_and_while_it_comes(
    client: Any, store: Any, settings: Settings
) -> None:
    limit(client, dataset_bytes=len(PETS) + 10)
    assert upload(client, **ONCE).status_code == 201
    larger = PETS + PETS.split(b"\n", 1)[1]
    check_refused(upload(client, larger), "dataset_bytes", len(PETS), len(PETS) + 10)
    packed = upload(client, gzip.compress(larger), **{"Content-Encoding": "gzip"})
    check_refused(packed, "dataset_bytes", len(PETS), len(PETS) + 10)
    assert upload(client, **ONCE).headers["Idempotent-Replayed"] == "true"
    assert upload(client).status_code == 200, "these bytes are there: nothing is added"
    other = PETS.replace(PETS[-9:-8], b"7")
    check_refused(upload(client, other), "dataset_bytes", len(PETS), len(PETS) + 10)
    assert len([path for path in (settings.artifacts / "blobs").rglob("*") if path.is_file()]) == 1
    small = client.post("/v1/datasets", data=b"a,b\n1,2\n", content_type=CSV)
    assert small.status_code == 201
    assert client.delete(f"/v1/datasets/{small.json['id']}").status_code == 204
    assert used(client, "dataset_bytes") == len(PETS)


def test_an_upload_that_another_one_overtook_is_refused_by_the_script(
    client: Any, store: Any, settings: Settings
) -> None:
    limit(client, dataset_bytes=19)
    files = ArtifactStore(settings.artifacts)
    datasets = DatasetRepository(store, files, max_bytes=1 << 20)
    quota = datasets.check_quota("default", None, 0)
    with datasets.start_upload(CSV, ParseOptions(), quota=quota) as slow:
        slow.write(b"a,b\n1,2\n")
        assert client.post("/v1/datasets", data=b"a,b\n3,4\n5,6\n", content_type=CSV).json["id"]
        with pytest.raises(QuotaExceeded):
            datasets.add("default", slow.finish(), name="")
    assert used(client, "dataset_bytes") == 12
    assert len([path for path in (settings.artifacts / "blobs").rglob("*") if path.is_file()]) == 1


def test_a_tenant_at_its_limit_of_running_jobs_is_overtaken(
    client: Any, store: Any, settings: Settings, lease_ledger: LeaseLedger
) -> None:
    """Also where it has more jobs at the head of the queue than one claim looks at."""
    limit(client, running=1)
    own = [client.post("/v1/jobs", json=small_spec()).json["id"] for _ in range(2)]
    template = store.hgetall(keys.job("default", own[1]))
    with store.pipeline() as pipe:
        for n in range(300):  # copies
            job_id = f"job_{n:026d}"
            pipe.hset(keys.job("default", job_id), mapping={**template, "id": job_id})
            for queue in (keys.queued_jobs("cpu"), keys.tenant_queue("cpu", "default")):
                pipe.zadd(queue, {keys.job_member("default", job_id): 2})
        pipe.execute()
    other = tenant_client(client, "team")
    theirs = other.post("/v1/jobs", json=small_spec()).json["id"]
    info = {"queue": "cpu", "canaries": {"1": "c1"}, "engines": ["eager"]}
    worker_registry.register(store, "w", {**info, "job": own[0]}, 60)

    first = claim_job(lease_ledger)
    assert first.lease.job_id == own[0]
    assert client.get(f"/v1/jobs/{own[1]}").json["queue"]["reason"] == "quota"
    assert other.get(f"/v1/jobs/{theirs}").json["queue"]["reason"] == "busy"
    worker_registry.register(store, "free", {**info, "job": None}, 60)
    assert other.get(f"/v1/jobs/{theirs}").json["queue"]["reason"] is None
    second = claim_job(lease_ledger)
    assert second.lease.job_id == theirs
    assert lease_ledger.claim("cpu", worker="w", device="cpu", canaries={"1": "c1"}) is None
    lease_ledger.finish(first.lease, "cancelled", 0)
    assert claim_job(lease_ledger).lease.tenant == "default"


def test_a_running_job_whose_worker_died_goes_on_beyond_the_limit(
    client: Any, store: Any, lease_ledger: LeaseLedger
) -> None:
    for _ in range(3):
        client.post("/v1/jobs", json=small_spec())
    held = [claim_job(lease_ledger), claim_job(lease_ledger)]
    limit(client, running=0)
    expire_lease(store, held[0].lease)
    assert claim_job(lease_ledger).lease.job_id == held[0].lease.job_id
    assert lease_ledger.claim("cpu", worker="w", device="cpu", canaries={}) is None
    limit(client, running=None)
    assert claim_job(lease_ledger).lease.job_id not in {claim.lease.job_id for claim in held}


def test_wake_ups_are_sent_for_jobs_that_may_run(client: Any, store: Any, ledger: Any) -> None:
    for _ in range(5):
        client.post("/v1/jobs", json=small_spec())
    store.delete(keys.celery_queue("cpu"))
    for running, due in ((2, {"cpu": 2}), (0, {}), (None, {"cpu": 5})):
        limit(client, running=running)
        store.delete(keys.wake_cooldown("cpu"))
        assert ledger.take_due_wakeups(10) == due


def test_defaults_come_from_the_settings_and_a_tenants_own_quota_counts_instead(
    client: Any, store: Any, store_server: str, settings: Settings
) -> None:
    named = {"TICKFORGE_QUOTA_QUEUED": "1", "TICKFORGE_QUOTA_ARTIFACT_BYTES": "0"}
    limited = settings_for(store_server, settings.artifacts.parent, **named)
    assert limited.default_quotas == {"queued": 1, "artifact_bytes": 0}
    prepare_tenants(store, limited.default_quotas)
    usage = client.get("/v1/usage").json
    assert (usage["queued"]["limit"], usage["running"]["limit"]) == (1, None)
    assert client.get(TENANT).json["quotas"] == NO_QUOTA
    check_refused(client.post("/v1/jobs", json=small_spec()), "artifact_bytes", 0, 0)
    limit(client, artifact_bytes=10**9)
    assert client.post("/v1/jobs", json=small_spec()).status_code == 202
    check_refused(client.post("/v1/jobs", json=small_spec()), "queued", 1, 1)
    prepare_tenants(store, {})
    assert client.get("/v1/usage").json["queued"]["limit"] is None
    with pytest.raises(InvalidSetting, match="TICKFORGE_QUOTA_RUNNING"):
        settings_for(store_server, settings.artifacts, TICKFORGE_QUOTA_RUNNING="-1")


def test_jobs_may_change_while_they_are_counted_anew(client: Any, store: Any) -> None:
    """Two processes do it at once here, a job at a time."""
    ids = [client.post("/v1/jobs", json=small_spec(seed=n)).json["id"] for n in range(6)]
    store.hset(keys.tenant_usage("default"), "spec_bytes", 1)
    scripts = Scripts(store)
    header = {"tenant": "default", "limit": 1}
    for begins in (True, None, None, True, None, None):
        assert scripts.call("recount_tenant", {**header, "begins": begins}) == [b"more"]
    for job_id in (ids[0], ids[4]):  # one that is counted, and one that is not yet
        client.post(f"/v1/jobs/{job_id}/cancel")
        assert client.delete(f"/v1/jobs/{job_id}").status_code == 204
    client.post("/v1/jobs", json=small_spec(name="a longer name than those have"))
    while scripts.call("recount_tenant", header) == [b"more"]:
        pass
    assert check_counters(store, "default")["spec_bytes"] > 500
    client.post("/v1/jobs", json=small_spec())
    check_counters(store, "default")


def test_counters_are_exact_after_every_kind_of_change_and_after_a_rebuild(
    client: Any, store: Any, settings: Settings
) -> None:
    """Also those that an earlier build did not keep."""
    ids = [client.post("/v1/jobs", json=small_spec(seed=n)).json["id"] for n in range(4)]
    dataset = upload(client).json["id"]
    upload(client, b"a,b\n1,2\n3,4\n")
    worker = ManualWorker(store, settings)
    for tick, code in ((5, b"code"), (10, b"code"), (19, b"other code"), (20, b"code")):
        worker.record([1.0] * (tick - worker.tick))
        drop = [5, 19] if tick == 20 else []
        worker.save(b"x" * tick, drop, {"model.py": code}, is_final=tick == 20)
    worker.end(stopped_by="budget")
    states = [len(json.dumps({**STATE, "tick": tick})) for tick in (10, 20)]
    size = sum(states) + 10 + 20 + len("codeother code")
    assert check_counters(store, "default")["artifact_bytes"] == size
    job = f"/v1/jobs/{ids[0]}"
    assert client.delete(f"{job}/checkpoints/20").status_code == 204
    check_counters(store, "default")
    client.post(f"/v1/jobs/{ids[1]}/cancel")
    client.post(f"/v1/jobs/{ids[2]}/pause")
    JobDeletion(store, ArtifactStore(settings.artifacts)).delete("default", ids[1])
    client.delete(f"/v1/datasets/{dataset}")
    limit(client, queued=77)
    known = check_counters(store, "default")
    assert all(known[name] for name in ("queued", "spec_bytes", "dataset_bytes"))

    store.hset(keys.tenant_usage("default"), mapping=dict.fromkeys(known, 1))
    prepare_tenants(store, {})
    assert check_counters(store, "default") == known
    store.flushall()
    files = ArtifactStore(settings.artifacts)
    write_store_id(files, "u")
    assert rebuild.rebuild(store, files) == 0
    assert check_counters(store, "default") == known == count_by_hand(store, "default")
    assert client.get(TENANT).json["quotas"] == {**NO_QUOTA, "queued": 77}
