"""Keys over HTTP: who may make them, what they open, when they stop, how often they may ask."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from api.app import create_app
from api.auth import ADMIN_KEY_ID
from jobs.errors import InvalidSetting
from jobs.settings import Settings
from tests.support import ADMIN_KEY, settings_for, small_spec
from tests.support_api import ReadingClient

BODY = {"tenant": "team_a", "scopes": ["read", "submit"], "name": "of team a"}


def signed_in(client: Any, secret: str) -> Any:
    """Another client of the same app."""
    other = client.application.test_client()
    other.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {secret}"
    return other


@pytest.fixture
def make(client: Any) -> Callable[..., Any]:
    """Make a key; gives a client that is signed in with it."""

    def make(*scopes: str, tenant: str = "team_a") -> Any:
        response = client.post("/v1/keys", json={"tenant": tenant, "scopes": scopes})
        assert response.status_code == 201, response.json
        return signed_in(client, response.json["secret"])

    return make


def test_a_key_is_shown_with_its_secret_once(client: Any) -> None:
    response = client.post("/v1/keys", json=BODY)
    assert response.status_code == 201
    about = {name: value for name, value in response.json.items() if name != "secret"}
    assert set(about) == {"id", "tenant", "scopes", "name", "created_at"}
    assert {name: about[name] for name in BODY} == BODY
    listed = client.get("/v1/keys").json
    assert listed == {"data": [about], "next_after": None, "has_more": False}


def test_a_replay_answers_without_the_secret(client: Any) -> None:
    once = {"Idempotency-Key": "k"}
    first = client.post("/v1/keys", json=BODY, headers=once)
    again = client.post("/v1/keys", json=BODY, headers=once)
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (201, "true")
    assert again.json == {k: v for k, v in first.json.items() if k != "secret"}
    assert client.post("/v1/keys", json={**BODY, "name": "b"}, headers=once).status_code == 422
    assert client.delete(f"/v1/keys/{first.json['id']}").status_code == 204
    assert client.post("/v1/keys", json=BODY, headers=once).status_code == 410


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"tenant": "Team-A"}, "/tenant"),
        ({"tenant": "../a"}, "/tenant"),
        ({"tenant": "a" * 65}, "/tenant"),
        ({"tenant": "a\n"}, "/tenant"),
        ({"scopes": []}, "/scopes"),
        ({"scopes": ["read", "read"]}, "/scopes"),
        ({"scopes": ["write"]}, "/scopes/0"),
        ({"scopes": "read"}, "/scopes"),
        ({"name": "n" * 201}, "/name"),
        ({"secret": "mine"}, "/secret"),
    ],
)
def test_a_wrong_body_is_422_and_names_the_field(
    client: Any, change: dict[str, Any], pointer: str
) -> None:
    response = client.post("/v1/keys", json={**BODY, **change})
    assert response.status_code == 422
    assert [error["pointer"] for error in response.json["errors"]] == [pointer]


def test_scopes_open_the_endpoints_of_the_contract(make: Callable[..., Any]) -> None:
    job = small_spec()
    expected = {
        "read": {"read": 200, "plan": 403, "submit": 403, "keys": 403, "metrics": 200},
        "submit": {"read": 403, "plan": 200, "submit": 202, "keys": 403, "metrics": 403},
        "admin": {"read": 200, "plan": 200, "submit": 202, "keys": 200, "metrics": 200},
    }
    for scope, statuses in expected.items():
        client = make(scope)
        responses: dict[str, TestResponse] = {
            "read": client.get("/v1/jobs"),
            "plan": client.post("/v1/jobs/plan", json=job),
            "submit": client.post("/v1/jobs", json=job),
            "keys": client.get("/v1/keys"),
            "metrics": client.get("/metrics"),
        }
        assert {name: response.status_code for name, response in responses.items()} == statuses, (
            scope
        )
    refused = make("read").post("/v1/jobs", json=job)
    assert refused.json["type"] == "urn:tickforge:problem:missing-scope"
    assert refused.json["scope"] == "submit" and "submit" in refused.json["detail"]


def test_a_deleted_key_stops_at_once_for_every_process(
    client: Any, settings: Settings, make: Callable[..., Any]
) -> None:
    user = make("read")
    elsewhere = signed_in(
        create_app(settings).test_client(), user.environ_base["HTTP_AUTHORIZATION"].split()[1]
    )
    assert (user.get("/v1/jobs").status_code, elsewhere.get("/v1/jobs").status_code) == (200, 200)
    key_id = client.get("/v1/keys").json["data"][0]["id"]
    assert client.delete(f"/v1/keys/{key_id}").status_code == 204
    assert (user.get("/v1/jobs").status_code, elsewhere.get("/v1/jobs").status_code) == (401, 401)
    assert client.delete(f"/v1/keys/{key_id}").status_code == 404
    assert client.delete("/v1/keys/key_x").status_code == 404


def test_the_admin_key_of_the_settings_stays(client: Any) -> None:
    response = client.delete(f"/v1/keys/{ADMIN_KEY_ID}")
    assert (response.status_code, response.json["type"][-12:]) == (409, "settings-key")
    assert client.get("/v1/keys").json["data"] == []


def test_lists_of_keys_have_pages_and_a_tenant(client: Any, make: Callable[..., Any]) -> None:
    for tenant in ("a", "b", "a"):
        make("read", tenant=tenant)
    page = client.get("/v1/keys?limit=2").json
    assert page["has_more"] and [key["tenant"] for key in page["data"]] == ["a", "b"]
    rest = client.get(f"/v1/keys?limit=2&after={page['next_after']}").json
    assert (rest["has_more"], [key["tenant"] for key in rest["data"]]) == (False, ["a"])
    assert len(client.get("/v1/keys?tenant=a&order=asc").json["data"]) == 2
    assert client.get("/v1/keys?tenant=A").status_code == 400
    assert client.get("/v1/keys?after=x").status_code == 400


def limited(settings_url: str, folder: Path, **more: str) -> Any:
    app = create_app(settings_for(settings_url, folder, **more))
    app.test_client_class = ReadingClient
    return signed_in(app.test_client(), ADMIN_KEY)


def test_too_many_requests_of_one_key_are_429(
    store: Any, store_server: str, tmp_path: Path
) -> None:
    client = limited(store_server, tmp_path, TICKFORGE_RATE_LIMIT="3")
    secret = client.post("/v1/keys", json=BODY).json["secret"]
    for who in (signed_in(client, secret), client):
        responses = [who.get("/v1/jobs") for _ in range(12)]
        refused = [response for response in responses if response.status_code == 429]
        assert responses[0].status_code == 200 and 3 <= len(refused) <= 8
        assert refused[0].headers["Retry-After"] == "1"
        assert refused[0].mimetype == "application/problem+json"
        assert refused[0].json["type"] == "urn:tickforge:problem:rate-limited"
        assert who.get("/healthz").status_code == 200


def test_a_tenant_has_no_more_queued_jobs_than_it_may(
    store: Any, store_server: str, tmp_path: Path
) -> None:
    client = limited(store_server, tmp_path, TICKFORGE_MAX_QUEUED="2")
    once = {"Idempotency-Key": "first"}
    job = client.post("/v1/jobs", json=small_spec(), headers=once).json
    assert client.post("/v1/jobs", json=small_spec()).status_code == 202
    full = client.post("/v1/jobs", json=small_spec(), headers={"Idempotency-Key": "third"})
    assert (full.status_code, full.headers["Retry-After"]) == (429, "10")
    assert full.json["type"] == "urn:tickforge:problem:queue-full"
    assert len(client.get("/v1/jobs").json["data"]) == 2
    assert client.post("/v1/jobs", json=small_spec(), headers=once).json["id"] == job["id"]
    others = client.post("/v1/keys", json={**BODY, "scopes": ["submit"]}).json["secret"]
    assert signed_in(client, others).post("/v1/jobs", json=small_spec()).status_code == 202
    client.post(f"/v1/jobs/{job['id']}/cancel")
    again = client.post("/v1/jobs", json=small_spec(), headers={"Idempotency-Key": "third"})
    assert again.status_code == 202


def test_a_key_made_with_an_idempotency_key_and_deleted_is_410(client: Any) -> None:
    once = {"Idempotency-Key": "k"}
    job_id = client.post("/v1/jobs", json=small_spec(), headers=once).json["id"]
    client.post(f"/v1/jobs/{job_id}/cancel")
    assert client.delete(f"/v1/jobs/{job_id}").status_code == 204
    for path in ("", "/history", "/checkpoints", "/attempts"):
        assert client.get(f"/v1/jobs/{job_id}{path}").status_code == 404
    assert client.delete(f"/v1/jobs/{job_id}").status_code == 404
    gone = client.post("/v1/jobs", json=small_spec(), headers=once)
    assert (gone.status_code, gone.json["type"]) == (410, "urn:tickforge:problem:gone")


def test_every_request_is_one_line_of_log(
    client: Any,
    make: Callable[..., Any],
    configure_logging: Callable[[str], None],
    capfd: pytest.CaptureFixture[str],
) -> None:
    configure_logging("json")
    user, wrong = make("read"), signed_in(client, "tf_" + "a" * 26 + "_" + "b" * 43)
    capfd.readouterr()
    missing = "/v1/jobs/job_" + "a" * 26
    user.get(missing, headers={"X-Request-Id": "mine"})
    wrong.get("/v1/jobs?tenant=secret")
    wrong.get("/nothing")
    text = capfd.readouterr().err
    first, second, third = (json.loads(line) for line in text.splitlines())
    assert (first["request_id"], first["method"], first["status"]) == ("mine", "GET", 404)
    assert (first["route"], first["path"]) == ("/v1/jobs/<job_id>", missing)
    assert first["tenant"] == "team_a" and first["key"].startswith("key_") and first["ms"] > 0
    assert (second["route"], second["status"], second["key"]) == ("/v1/jobs", 401, None)
    assert (third["route"], third["path"]) == (None, "/nothing")
    assert "secret" not in text and "b" * 43 not in text


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("TICKFORGE_RATE_LIMIT", "-1", "a number from 0 to"),
        ("TICKFORGE_RATE_LIMIT", "many", "a number from 0 to"),
        ("TICKFORGE_MAX_QUEUED", "0", "a whole number from 1 to"),
        ("TICKFORGE_REDIS_URL", "http://user:a-password@store", "redis://, rediss:// or unix://"),
    ],
)
def test_a_limit_that_cannot_be_used_is_named(name: str, value: str, rule: str) -> None:
    with pytest.raises(InvalidSetting) as refused:
        Settings.from_env({"TICKFORGE_REDIS_URL": "unix:///store", name: value})
    assert name in str(refused.value) and rule in str(refused.value)
    assert "a-password" not in str(refused.value)
