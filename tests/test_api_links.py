"""Signed links: what they open without a key, for how long, and what closes them."""

import json
import math
import re
import socket
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
from gunicorn.http.errors import InvalidRequestLine  # type: ignore[import-untyped]

from api.app import create_app
from api.thread_worker import ApiThreadWorker
from jobs.settings import Settings
from jobs.store.connection import Store
from tests.manual_worker import ManualWorker
from tests.support import settings_for, small_spec
from tests.support_api import ReadingClient

WEEK = 7 * 86_400


@pytest.fixture
def worker(submit: Callable[..., str], store: Store, settings: Settings) -> ManualWorker:
    """A running job with 3 ticks and a checkpoint."""
    submit(budget={"ticks": 100})
    worker = ManualWorker(store, settings)
    worker.record([3.0, 2.0, 1.0])
    worker.save()
    return worker


@pytest.fixture
def path(worker: ManualWorker) -> str:
    return f"/v1/jobs/{worker.lease.job_id}"


@pytest.fixture
def stranger(client: Any) -> Any:
    """Somebody without a key."""
    return client.application.test_client()


def sign(client: Any, path: str, target: str = "curve.svg", **more: Any) -> str:
    """Sign a link; return it from its path on."""
    response = client.post(f"{path}/links", json={"path": target, **more})
    assert response.status_code == 201, response.json
    parts = urlsplit(response.json["url"])
    return f"{parts.path}?{parts.query}"


def make_client(client: Any, tenant: str, *scopes: str) -> tuple[Any, str]:
    """Make a key; return a client that is signed in with it, and its id."""
    key = client.post("/v1/keys", json={"tenant": tenant, "scopes": scopes}).json
    other = client.application.test_client()
    other.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {key['secret']}"
    return other, key["id"]


def expect(response: Any, status: int, kind: str) -> None:
    assert response.status_code == status, response.text
    assert response.json["type"].rpartition(":")[2] == kind


def test_a_link_opens_what_was_signed_without_a_key_as_an_image_proxy_wants_it(
    client: Any, stranger: Any, path: str, worker: ManualWorker
) -> None:
    for target in ("curve.svg", "curve.png?log=true&width=300", "curve.txt?columns=loss,lr",
                   "checkpoints/3/files/model.safetensors", "export/wandb",
                   "export/tensorboard?after=1"):  # fmt: skip
        link = sign(client, path, target)
        opened = stranger.get(link)
        assert opened.status_code == 200, opened.text
        assert opened.data == client.get(f"{path}/{target}").data
        assert opened.headers["Cache-Control"] == "no-cache"
        assert stranger.head(link).status_code == 200
        known = {"If-None-Match": opened.headers["ETag"]}
        assert stranger.get(link, headers=known).status_code == 304
        # an equal query is the same request, however a client writes it
        assert stranger.get(link.replace(",", "%2C")).status_code == 200
    running = sign(client, path)
    before = stranger.get(running).data
    worker.record([0.5])
    assert stranger.get(running).data != before


def test_a_link_has_an_absolute_url_with_the_proxys_prefix_and_an_end(
    client: Any, settings: Settings, path: str
) -> None:
    before = int(time.time())
    created = client.post(f"{path}/links", json={"path": "curve.svg", "expires_in": 60}).json
    assert created["url"].startswith(f"http://localhost{path}/curve.svg?sig=")
    expires = datetime.fromisoformat(created["expires_at"]).timestamp() - 60
    assert before <= expires <= math.ceil(time.time())

    trusting = settings_for(
        settings.redis_url, settings.artifacts, TICKFORGE_TRUSTED_PROXIES="10.0.0.0/8"
    )
    app = create_app(trusting)
    app.test_client_class = ReadingClient
    behind = app.test_client()
    behind.environ_base |= {
        "REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_PREFIX": "/train",
        "HTTP_X_FORWARDED_HOST": "models.example", "HTTP_X_FORWARDED_PROTO": "https",
    }  # fmt: skip
    headers = {"Authorization": client.environ_base["HTTP_AUTHORIZATION"]}
    url = behind.post(f"{path}/links", json={"path": "curve.svg"}, headers=headers).json["url"]
    assert url.startswith(f"https://models.example/train{path}/curve.svg?sig=")
    assert behind.get(url.removeprefix("https://models.example/train")).status_code == 200


def test_a_link_opens_nothing_but_what_was_signed(
    client: Any, stranger: Any, path: str, worker: ManualWorker, submit: Callable[..., str]
) -> None:
    link, other_job = sign(client, path, "curve.svg?log=true"), submit()
    signature = link.partition("sig=")[2]
    changed = [
        link.replace("log=true", "log=false"),
        link.replace("log=true&", ""),
        link + "&width=300",
        link + "&tenant=default",
        link.replace("curve.svg", "curve.png"),
        link.replace(worker.lease.job_id, other_job),
        link[:-1] + ("A" if link[-1] != "A" else "B"),
        re.sub(r"sig=[0-9a-f]+", lambda match: f"sig={int(match[0][4:], 16) + 9:x}", link),
        f"{link}&sig={signature}",
        f"{path}?sig={signature}",
        f"{path}/history?sig={signature}",
        f"{path}/curve.svg?log=true&sig=",
        f"{path}/curve.svg?log=true&sig=a.b.c",
        f"/v1/jobs?sig={signature}",
        f"/metrics?sig={signature}",
    ]
    for url in changed:
        expect(stranger.get(url), 401, "invalid-link")
    assert stranger.post(f"{path}/cancel?sig={signature}").status_code == 401
    assert stranger.delete(link).status_code == 401
    assert stranger.get(link).status_code == 200
    assert stranger.get(f"/healthz?sig={signature}").status_code == 400


def test_a_link_of_one_tenant_opens_nothing_of_another(
    client: Any, stranger: Any, path: str, worker: ManualWorker
) -> None:
    mine, _ = make_client(client, "team_a", "read", "submit")
    assert mine.post(f"{path}/links", json={"path": "curve.svg"}).status_code == 404
    own_job = mine.post("/v1/jobs", json=small_spec()).json["id"]
    link = sign(mine, f"/v1/jobs/{own_job}")
    assert stranger.get(link).status_code == 200
    expect(stranger.get(link.replace(own_job, worker.lease.job_id)), 401, "invalid-link")
    # an admin's link to another tenant's job names that tenant, and opens this job alone
    response = client.post(f"/v1/jobs/{own_job}/links?tenant=team_a", json={"path": "curve.txt"})
    foreign = response.json["url"].partition("localhost")[2]
    assert stranger.get(foreign).status_code == 200
    expect(stranger.get(foreign.replace("team_a", "default")), 401, "invalid-link")


def test_a_link_ends_with_its_time_and_with_the_key_that_made_it(
    client: Any, stranger: Any, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    maker, key_id = make_client(client, "default", "read", "submit")
    short, default = sign(maker, path, expires_in=1), sign(maker, path)
    now = time.time()
    monkeypatch.setattr("api.signed_links.time.time", lambda: now + 2)
    expect(stranger.get(short), 410, "link-expired")
    assert stranger.get(default).status_code == 200
    monkeypatch.setattr("api.signed_links.time.time", lambda: now + WEEK + 1)
    expect(stranger.get(default), 410, "link-expired")
    monkeypatch.undo()
    assert client.delete(f"/v1/keys/{key_id}").status_code == 204
    expect(stranger.get(default), 401, "invalid-link")


def test_another_admin_key_ends_the_links_of_the_one_before(
    client: Any, settings: Settings, path: str
) -> None:
    link = sign(client, path)
    secret = "another-admin-key-of-these-tests-01"
    changed = settings_for(settings.redis_url, settings.artifacts, TICKFORGE_ADMIN_KEY=secret)
    expect(create_app(changed).test_client().get(link), 401, "invalid-link")


def test_what_cannot_be_signed_is_422_with_field_and_rule(client: Any, path: str) -> None:
    targets = [
        "history", "events", "../keys", "curve.svg?nope=1", "curve.svg?sig=1", "curve.svg?wait=1",
        "curve.svg?tenant=default", "http://elsewhere/curve.svg", "//elsewhere/curve.svg",
        "curve.svg#a", "curve.svg/", "checkpoints", "",
    ]  # fmt: skip
    bodies = [({"path": target}, "/path") for target in targets]
    for seconds in (0, 7_776_001, 1.5, True):
        bodies.append(({"path": "curve.svg", "expires_in": seconds}, "/expires_in"))
    for body, pointer in bodies:
        response = client.post(f"{path}/links", json=body)
        expect(response, 422, "invalid-body")
        assert [error["pointer"] for error in response.json["errors"]] == [pointer], body


def test_a_key_that_cannot_read_signs_no_link_and_a_key_counts_before_a_signature(
    client: Any, path: str
) -> None:
    blind, _ = make_client(client, "default", "submit")
    body = {"path": "curve.svg"}
    expect(blind.post(f"{path}/links", json=body), 403, "missing-scope")
    reader, _ = make_client(client, "default", "read")
    expect(reader.post(f"{path}/links", json=body), 403, "missing-scope")
    link = sign(client, path)
    assert reader.get(link.replace("sig=", "sig=x")).status_code == 200
    expect(blind.get(link), 403, "missing-scope")


def test_links_are_counted_apart_from_their_key_and_no_signature_is_logged(
    settings: Settings,
    worker: ManualWorker,
    configure_logging: Callable[[str], None],
    capfd: pytest.CaptureFixture[str],
) -> None:
    limited = settings_for(settings.redis_url, settings.artifacts, TICKFORGE_RATE_LIMIT="0.001")
    app = create_app(limited)
    app.test_client_class = ReadingClient
    http, path = app.test_client(), f"/v1/jobs/{worker.lease.job_id}"
    admin = {"Authorization": f"Bearer {settings.admin_key}"}
    body = {"tenant": "default", "scopes": ["read", "submit"]}
    key = http.post("/v1/keys", json=body, headers=admin).json
    maker = {"Authorization": f"Bearer {key['secret']}"}
    created = http.post(f"{path}/links", json={"path": "curve.txt"}, headers=maker).json
    assert http.get(path, headers=maker).status_code == 429  # its one request was that
    link = created["url"].partition("localhost")[2]
    configure_logging("json")
    capfd.readouterr()
    assert [http.get(link).status_code for _ in range(2)] == [200, 429]
    lines = capfd.readouterr().err
    first, _ = (json.loads(line) for line in lines.splitlines())
    assert (first["path"], first["key"], first["by_link"]) == (f"{path}/curve.txt", key["id"], True)
    assert "sig" not in lines


@pytest.mark.parametrize("version", ["HTTP/9.9", "HTTP/1.1 ”", ""])
def test_no_signature_is_logged_of_a_request_that_cannot_be_read(
    configure_logging: Callable[[str], None], capfd: pytest.CaptureFixture[str], version: str
) -> None:
    configure_logging("json")
    line = f"GET /v1/jobs/job_x/curve.svg?width='9 0'&sig=v1.secret {version}"
    worker = ApiThreadWorker.__new__(ApiThreadWorker)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        worker.handle_error(None, theirs, ("", 0), InvalidRequestLine(line))
        assert ours.recv(1000).startswith(b"HTTP/1.1 400 ")
    logged = json.loads(capfd.readouterr().err)
    assert "secret" not in str(logged) and "curve.svg" in logged["error"]
