"""What holds for every answer: keys, methods, headers, and a store that is away."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from werkzeug.routing import Map

from api.app import ENDPOINTS, create_app
from api.assets import ASSET_PATHS
from api.auth import PUBLIC_PATHS, Authenticator, Key, check_scope
from api.errors import Problem
from api.version import SERVICE
from jobs.access_keys import AccessKeys
from jobs.files.artifacts import ArtifactStore
from jobs.ledger.client import JobLedger
from jobs.queries import worker_registry
from jobs.settings import Settings
from jobs.spec.reading import read_spec
from jobs.store.connection import connect
from tests.manual_worker import ManualWorker
from tests.support import ADMIN_KEY, ROOT, StoreServer, running_store, settings_for, small_spec
from tests.support_api import ReadingClient

UNKNOWN = "job_" + "a" * 26


def paths(routes: Map) -> Iterator[tuple[str, str]]:
    for rule in routes.iter_rules():
        for method in rule.methods or ():
            yield method, re.sub(r"<job_id>", UNKNOWN, rule.rule).replace("<which>", "latest")


def test_every_route_but_the_open_ones_needs_a_key(client: Any) -> None:
    client.environ_base.pop("HTTP_AUTHORIZATION")
    seen = set()
    for method, path in paths(client.application.url_map):
        status = client.open(path, method=method).status_code
        assert (status != 401) == (path in PUBLIC_PATHS), (method, path)
        seen.add(path)
    assert len(seen) > 15 and PUBLIC_PATHS - seen == ASSET_PATHS


def test_an_unknown_path_is_404_with_a_key_and_401_without(client: Any) -> None:
    assert client.get("/v1/nothing").status_code == 404
    assert client.get("/static/nothing.js").status_code == 404
    assert client.get("/", environ_overrides={"PATH_INFO": "//v1/version"}).status_code == 404
    client.environ_base.pop("HTTP_AUTHORIZATION")
    for path in ("/v1/nothing", "/metrics", "/x", "/healthz/", "/docs/", "/static/x"):
        assert client.get(path).status_code == 401, path


def test_a_key_needs_the_endpoints_scope() -> None:
    reader = Key("key_1", "default", frozenset({"read"}))
    check_scope(reader, "read")
    check_scope(Key("key_2", "default", frozenset({"admin"})), "submit")
    for scope in ("submit", "admin"):
        with pytest.raises(Problem) as refused:
            check_scope(reader, scope)  # type: ignore[arg-type]
        assert refused.value.status == 403


def test_reading_needs_read_and_changing_needs_submit() -> None:
    for endpoint in ENDPOINTS:
        if endpoint.path in PUBLIC_PATHS or endpoint.path == "/static/<name>":
            assert endpoint.scope is None
        else:
            reads = endpoint.method == "GET"
            is_of_admins = endpoint.path.startswith(("/v1/keys", "/v1/tenants"))
            scope = "admin" if is_of_admins else "read" if reads else "submit"
            assert endpoint.scope == scope, endpoint.operation_id


def test_the_admin_key_is_found_by_its_secret_alone(store: Any, tmp_path: Path) -> None:
    access_keys = AccessKeys(store, ArtifactStore(tmp_path))
    keys = Authenticator(access_keys, "a" * 32, rate=0)
    assert keys.authenticate("a" * 32) is not None
    for wrong in ("A" * 32, "a" * 31, "", "\udc80"):
        assert keys.authenticate(wrong) is None
    assert Authenticator(access_keys, None, rate=0).authenticate("") is None


def test_every_response_has_a_request_id_and_may_not_be_cached(client: Any) -> None:
    for path in ("/healthz", "/v1/jobs", f"/v1/jobs/{UNKNOWN}", "/nothing"):
        response = client.get(path)
        assert re.fullmatch(r"[0-9a-f]{32}", response.headers["X-Request-Id"])
        assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("sent", "is_returned"), [("abc-1.2_3", True), ("a b", False), ("x" * 65, False)]
)
def test_a_clients_request_id_is_kept_if_it_is_plain(
    client: Any, sent: str, is_returned: bool
) -> None:
    response = client.get("/healthz", headers={"X-Request-Id": sent})
    assert (response.headers["X-Request-Id"] == sent) == is_returned


def test_a_response_with_an_etag_must_be_revalidated(client: Any) -> None:
    path = client.post("/v1/jobs", json=small_spec()).headers["Location"]
    assert client.get(path).headers["Cache-Control"] == "private, no-cache"


def test_head_and_options_are_answered(client: Any) -> None:
    head = client.head("/v1/jobs")
    assert (head.status_code, head.data) == (200, b"")
    options = client.options("/v1/jobs")
    assert options.status_code == 200
    assert set(options.headers["Allow"].split(", ")) == {"DELETE", "GET", "HEAD", "OPTIONS", "POST"}


def test_an_unforeseen_error_shows_no_detail_and_is_logged(
    client: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a secret of ours")

    monkeypatch.setattr("api.routes_service.worker_registry.live_workers", broken)
    response = client.get("/v1/workers", headers={"X-Request-Id": "id-7"})

    assert response.status_code == 500
    assert response.mimetype == "application/problem+json"
    assert "secret" not in response.text and "id-7" in response.json["detail"]
    logged = capsys.readouterr()
    assert "a secret of ours" in logged.out + logged.err


def test_the_key_is_in_no_log(client: Any, capsys: pytest.CaptureFixture[str]) -> None:
    secret = "wrong-" + "s" * 40
    client.get("/v1/jobs", headers={"Authorization": f"Bearer {secret}"})
    client.get(f"/v1/jobs?key={secret}")
    logged = capsys.readouterr()
    assert "/v1/jobs" in logged.out + logged.err
    assert secret not in logged.out + logged.err


@pytest.fixture
def away(tmp_path: Path) -> Iterator[tuple[Any, StoreServer]]:
    with running_store() as server:
        app = create_app(settings_for(server.url, tmp_path))
        app.test_client_class = ReadingClient
        client = app.test_client()
        client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {ADMIN_KEY}"
        yield client, server


def test_every_path_but_health_is_503_while_the_store_is_unavailable(
    away: tuple[Any, StoreServer],
) -> None:
    client, server = away
    assert client.get("/readyz").json == {"status": "ready"}
    job_id = client.post("/v1/jobs", json=small_spec()).json["id"]
    server.kill()

    assert client.get("/healthz").status_code == 200
    assert client.get("/v1/models").status_code == 200
    for method, path in (
        ("GET", "/readyz"),
        ("GET", "/v1/jobs"),
        ("GET", f"/v1/jobs/{job_id}"),
        ("GET", f"/v1/jobs/{job_id}/history"),
        ("POST", "/v1/jobs"),
        ("POST", f"/v1/jobs/{job_id}/cancel"),
    ):
        response = client.open(path, method=method, json=small_spec() if path == "/v1/jobs" else {})
        assert (response.status_code, response.headers["Retry-After"]) == (503, "2"), path
        assert response.mimetype == "application/problem+json"
    assert client.get("/readyz").json["reason"] == "away"

    server.start()
    assert client.get("/readyz").status_code == 200
    assert client.get(f"/v1/jobs/{job_id}").json["id"] == job_id


def test_a_full_store_is_507_and_stores_nothing(away: tuple[Any, StoreServer]) -> None:
    client, server = away
    client.get("/readyz")
    store = connect(server.url)
    store.config_set("maxmemory", 1)
    response = client.post("/v1/jobs", json=small_spec())
    assert (response.status_code, response.json["type"]) == (
        507,
        "urn:tickforge:problem:storage-full",
    )
    store.config_set("maxmemory", 0)
    store.close()
    assert client.get("/v1/jobs").json["data"] == []


def test_another_tenants_job_is_404(
    client: Any, submit: Any, store: Any, settings: Settings
) -> None:
    spec = read_spec(small_spec(), max_parameters=10**9)
    job_id = JobLedger(store).submit("others", spec).job_id
    for method, path in (
        ("GET", ""), ("GET", "/history"), ("GET", "/checkpoints"), ("GET", "/attempts"),
        ("PATCH", ""), ("DELETE", ""), ("POST", "/cancel"),
    ):  # fmt: skip
        response = client.open(f"/v1/jobs/{job_id}{path}", method=method, json={})
        assert response.status_code == 404, path
    assert client.get("/v1/jobs").json["data"] == []


def test_models_show_their_schema_and_version_its_limits(client: Any) -> None:
    mlp, transformer = client.get("/v1/models").json["data"]
    assert mlp["family"] == "mlp"
    assert mlp["objectives"] == ["mse", "cross_entropy"]
    assert mlp["config"]["properties"]["hidden"]["maxItems"] == 64
    assert transformer["objectives"] == ["language_model"]

    body = client.get("/v1/version").json
    assert body["limits"]["body_bytes"] == 1 << 20
    assert body["service"] == SERVICE
    assert f'version = "{SERVICE}"' in (ROOT / "pyproject.toml").read_text()


def test_workers_are_shown_as_they_announce_themselves(client: Any, store: Any) -> None:
    about = {"queue": "cpu", "device": "cpu", "engines": ["eager"], "versions": {"torch": "2.13"}}
    worker_registry.register(store, "w1", {**about, "memory_bytes": 1 << 34}, 30)
    (worker,) = client.get("/v1/workers").json["data"]
    assert (worker["name"], worker["queue"]) == ("w1", "cpu")
    assert client.get("/v1/version").json["torch"] == ["2.13"]
    plan = client.post("/v1/jobs/plan", json=small_spec()).json
    assert (plan["engine"]["workers"], plan["warnings"]) == (1, [])


def test_losses_are_exact_in_a_job(
    client: Any, submit: Any, store: Any, settings: Settings
) -> None:
    path = f"/v1/jobs/{submit()}"
    ManualWorker(store, settings).record([0.1])
    assert json.loads(client.get(path).text)["loss"] == 0.10000000149011612
