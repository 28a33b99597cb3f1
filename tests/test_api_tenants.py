"""Two tenants on one service: each path of it is walked, and nothing of the other's is there."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from api.app import ENDPOINTS
from api.auth import PUBLIC_PATHS
from api.endpoints import Endpoint
from jobs.queries import worker_registry
from jobs.settings import Settings
from tests.datasets import CSV
from tests.manual_worker import ManualWorker
from tests.support import small_spec

#: what stands for a part of a path that is not another tenant's id
PARTS = {"which": "latest", "name": "model.safetensors", "tick": "3", "tenant_name": "t"}
PARTS["message_id"] = "msg_" + "a" * 26
#: what an endpoint cannot do without
QUERIES = {"GET /v1/events": "job={job_id}"}
BODIES = {
    "POST /v1/jobs/<job_id>/extend": {"budget": {"ticks": 30}},
    "POST /v1/jobs/<job_id>/links": {"path": "curve.svg"},
}
#: of what the tenants' job does not have
OWN_STATUSES = {"/v1/jobs/<job_id>/result": 404}
EVENTS = {"Accept": "text/event-stream"}
DATA = b"x,y\n1,2\n3,4\n5,6\n"


@dataclass
class Tenant:
    """A tenant's own client, and the ids of what it has."""

    http: Any
    ids: dict[str, str]

    def url(self, endpoint: Endpoint, ids: dict[str, str] | None = None) -> str:
        """An endpoint's address with these ids (its own)."""
        known = {**PARTS, **(self.ids if ids is None else ids)}
        path = re.sub(r"<(\w+)>", lambda match: known[match[1]], endpoint.path)
        query = QUERIES.get(f"{endpoint.method} {endpoint.path}", "").format(**known)
        return f"{path}?{query}"

    def ask(self, endpoint: Endpoint, url: str) -> Any:
        """Send the request, with a body where one is taken, of the first event of a stream."""
        body = BODIES.get(f"{endpoint.method} {endpoint.path}", {})
        how: dict[str, Any] = {} if endpoint.method == "GET" else {"json": body}
        if endpoint.path.endswith("/append"):
            how = {"data": DATA, "content_type": CSV}
        if endpoint.path == "/v1/events":
            how["headers"] = EVENTS
        return self.http.open(url, method=endpoint.method, **how)


def named(endpoint: Endpoint) -> bool:
    return "_id>" in endpoint.path or f"{endpoint.method} {endpoint.path}" in QUERIES


def theirs() -> Iterator[Endpoint]:
    """Endpoints of a tenant, first those that change nothing."""
    endpoints = [endpoint for endpoint in ENDPOINTS if endpoint.scope in ("read", "submit")]
    yield from sorted(endpoints, key=lambda endpoint: endpoint.method != "GET")


@pytest.fixture
def tenants(client: Any, store: Any, settings: Settings) -> tuple[Tenant, Tenant]:
    """Two of them, each with a job that has ended, its history and a checkpoint, and a dataset."""

    def tenant(name: str) -> Tenant:
        body = {"tenant": name, "scopes": ["read", "submit"]}
        created = client.post("/v1/keys", json=body).json
        http = client.application.test_client()
        http.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {created['secret']}"
        labels = {"owner": f"only-{name}"}
        job = http.post("/v1/jobs", json=small_spec(name=f"job-of-{name}", labels=labels))
        worker = ManualWorker(store, settings)
        worker.record([1.0] * 20)
        worker.save(is_final=True)
        worker.end(stopped_by="budget")
        hook = {"url": f"https://1.1.1.1/of-{name}", "events": ["*"], "name": f"of-{name}"}
        hook_id = http.post("/v1/webhooks", json=hook).json["id"]
        ids = {"job_id": job.json["id"], "webhook_id": hook_id, **dataset(http, name)}
        return Tenant(http, ids)

    return tenant("first"), tenant("second")


def dataset(http: Any, name: str) -> dict[str, str]:
    if not any(endpoint.path == "/v1/datasets" for endpoint in ENDPOINTS):
        return {}
    response = http.post(f"/v1/datasets?name=of-{name}", data=DATA, content_type="text/csv")
    assert response.status_code == 201, response.json
    return {"dataset_id": response.json["id"]}


def test_no_path_shows_a_tenant_anything_of_another(tenants: tuple[Tenant, Tenant]) -> None:
    ours, others = tenants
    walked = 0
    for endpoint in theirs():
        response = ours.ask(endpoint, ours.url(endpoint, others.ids))
        where = f"{endpoint.method} {endpoint.path}"
        walked += 1
        if named(endpoint):
            assert response.status_code == 404, (where, response.text)
        elif endpoint.method == "GET":
            assert response.status_code == 200, where
            for word in (*others.ids.values(), "of-second", "only-second"):
                assert ours.ids.get("dataset_id") == word or word not in response.text, (
                    where,
                    word,
                )
    assert walked > 15


def test_resources_hidden_from_other_tenants_are_visible_to_their_owner(
    tenants: tuple[Tenant, Tenant],
) -> None:
    ours, _ = tenants
    for endpoint in theirs():
        if endpoint.method == "GET":
            response = ours.ask(endpoint, ours.url(endpoint))
            assert response.status_code == OWN_STATUSES.get(endpoint.path, 200), endpoint.path


def test_an_admin_reads_another_tenants_resources_by_naming_the_tenant(
    tenants: tuple[Tenant, Tenant], client: Any
) -> None:
    ours, _ = tenants
    admin = Tenant(client, ours.ids)
    for endpoint in [
        own_endpoint
        for own_endpoint in theirs()
        if own_endpoint.is_tenant_scoped and own_endpoint.method == "GET"
    ]:
        url, where = ours.url(endpoint), endpoint.path
        seen = admin.ask(endpoint, f"{url}&tenant=first")
        assert seen.status_code == OWN_STATUSES.get(where, 200), where
        assert seen.data == ours.ask(endpoint, url).data or endpoint.path == "/v1/events", where
        if named(endpoint):
            assert admin.ask(endpoint, url).status_code == 404, where
            assert admin.ask(endpoint, f"{url}&tenant=second").status_code == 404, where
        refused = ours.ask(endpoint, f"{url}&tenant=second")
        assert (refused.status_code, refused.json["scope"]) == (403, "admin"), where
        assert admin.ask(endpoint, f"{url}&tenant=A").status_code == 400, where
        assert admin.ask(endpoint, f"{url}&tenant=a&tenant=b").status_code == 400, where
    job = f"/v1/jobs/{ours.ids['job_id']}"
    assert client.patch(f"{job}?tenant=first", json={"notes": "n"}).json["notes"] == "n"
    assert client.delete(f"{job}?tenant=second").status_code == 404
    assert client.delete(f"{job}?tenant=first").status_code == 204
    assert client.post("/v1/jobs?tenant=first", json=small_spec()).status_code == 400


def test_without_a_key_only_open_paths_answer(tenants: tuple[Tenant, Tenant]) -> None:
    ours, _ = tenants
    ours.http.environ_base.pop("HTTP_AUTHORIZATION")
    for endpoint in ENDPOINTS:
        path = ours.url(endpoint, {**ours.ids, "key_id": "key_" + "a" * 26, "dataset_id": "ds_x"})
        response = ours.ask(endpoint, path)
        if endpoint.path in PUBLIC_PATHS:
            assert response.status_code == 200, path
        else:
            assert response.status_code == 401, path
            assert response.mimetype == "application/problem+json"
            assert response.headers["WWW-Authenticate"].startswith("Bearer")


def test_an_idempotency_key_is_its_tenants_own(tenants: tuple[Tenant, Tenant]) -> None:
    once = {"Idempotency-Key": "the same"}
    responses = [
        tenant.http.post("/v1/jobs", json=small_spec(), headers=once) for tenant in tenants
    ]
    assert [response.status_code for response in responses] == [202, 202]
    assert responses[0].json["id"] != responses[1].json["id"]
    assert "Idempotent-Replayed" not in responses[1].headers
    other = tenants[1].http.post("/v1/jobs", json=small_spec(seed=2), headers=once)
    assert other.status_code == 422


def test_a_spec_cannot_name_another_tenants_dataset(tenants: tuple[Tenant, Tenant]) -> None:
    ours, others = tenants
    assert ours.ids["dataset_id"] != others.ids["dataset_id"]
    for tenant, status in ((others, 202), (ours, 422)):
        data = {"source": "dataset", "id": others.ids["dataset_id"], "target": "y"}
        spec = small_spec(data=data, batch_size=1)
        assert tenant.http.post("/v1/jobs", json=spec).status_code == status


def test_a_workers_job_is_named_to_its_tenant_alone(
    tenants: tuple[Tenant, Tenant], client: Any, store: Any
) -> None:
    ours, others = tenants
    about = {"queue": "cpu", "tenant": "second", "job": others.ids["job_id"]}
    worker_registry.register(store, "w1", {**about, "ticks_per_second": 7.0}, 30)
    (hidden,) = ours.http.get("/v1/workers").json["data"]
    assert (hidden["job"], hidden["busy"], hidden["ticks_per_second"]) == (None, True, None)
    assert "tenant" not in hidden
    for who in (others.http, client):
        (shown,) = who.get("/v1/workers").json["data"]
        assert (shown["job"], shown["tenant"]) == (others.ids["job_id"], "second")


def test_filters_find_no_job_of_another_tenant(tenants: tuple[Tenant, Tenant]) -> None:
    ours, _ = tenants
    for query in ("label=owner:only-second", "name=job-of-second"):
        assert ours.http.get(f"/v1/jobs?{query}").json["data"] == []
        assert len(ours.http.get(f"/v1/jobs?{query.replace('second', 'first')}").json["data"]) == 1
