"""The client's keys: made, listed and deleted at the real API, and a lost answer to a made key."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api_process import running_api
from tests.stub_server import KEY, StubResponse, running_stub
from tests.support import ADMIN_KEY, small_spec
from tickforge_client import Client, NotAuthorized, cli
from tickforge_client.errors import QuotaExceeded


@pytest.fixture(scope="module")
def url(empty_store: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_api(empty_store, tmp_path_factory.mktemp("keys")) as api:
        yield str(api.base_url)


@pytest.fixture
def at(url: str, store: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """The API with an empty store; the command knows it by the environment."""
    monkeypatch.setenv("TICKFORGE_URL", url)
    monkeypatch.setenv("TICKFORGE_KEY", ADMIN_KEY)
    return url


def test_a_key_is_made_listed_and_deleted(at: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["keys", "create", "team_a", "--scope", "read", "--name", "ci"]) == 0
    captured = capsys.readouterr()
    (secret,) = captured.out.splitlines()
    assert secret.startswith("tf_") and secret not in captured.err
    with Client(at, secret) as user:
        assert user.page()["data"] == []
        with pytest.raises(NotAuthorized):
            list(user.keys())

    assert cli.main(["keys", "list"]) == 0
    listed = capsys.readouterr().out
    assert "team_a" in listed and "ci" in listed and secret not in listed
    key_id = listed.splitlines()[1].split()[0]

    assert cli.main(["keys", "delete", key_id]) == 0
    with Client(at, secret) as user, pytest.raises(NotAuthorized):
        user.page()
    assert cli.main(["keys", "delete", key_id]) == 2


def test_json_holds_the_secret_once(at: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--json", "keys", "create", "team_a"]) == 0
    created = json.loads(capsys.readouterr().out)
    assert created["scopes"] == ["read", "submit"] and created["secret"].startswith("tf_")
    assert cli.main(["keys", "list", "--tenant", "team_a", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed == [{name: value for name, value in created.items() if name != "secret"}]
    assert cli.main(["keys", "list", "--tenant", "team_b", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_a_secret_given_in_place_of_an_id_is_not_repeated(
    at: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["keys", "delete", "tf_secret"]) == 2
    assert "tf_secret" not in capsys.readouterr().err
    assert cli.main(["keys", "create", "Team A"]) == 2


def test_a_key_whose_secret_was_lost_on_its_way_is_deleted_and_made_anew(tmp_path: Path) -> None:
    about = {"id": "key_" + "a" * 26, "tenant": "t", "scopes": ["read"], "name": ""}
    responses = [
        StubResponse(201, about, {"Idempotent-Replayed": "true"}),
        StubResponse(204),
        StubResponse(201, {**about, "secret": "tf_s"}),
    ]
    with running_stub(responses) as server, Client(server.url, KEY) as client:
        assert client.create_key("t", ["read"])["secret"] == "tf_s"
    assert server.request_lines() == [
        "POST /v1/keys",
        f"DELETE /v1/keys/{about['id']}",
        "POST /v1/keys",
    ]
    first, _, second = (request.headers["Idempotency-Key"] for request in server.requests)
    assert first != second


def test_a_tenants_quotas_and_jobs_are_shown_set_and_deleted(
    at: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["tenants", "set", "default", "--queued", "2", "--keep-last", "5"]) == 0
    assert "queued 2, keep_last 5" in capsys.readouterr().out
    with Client(at, ADMIN_KEY, sleep=lambda _: pytest.fail("a quota is not waited for")) as client:
        jobs = [client.submit(small_spec(labels={"n": str(n)})) for n in range(2)]
        with pytest.raises(QuotaExceeded) as refusal:
            client.submit(small_spec())
        assert (refusal.value.body["used"], refusal.value.body["limit"]) == (2, 2)
        for job in jobs:
            job.cancel()
        assert client.tenants() == ["default"] and list(client.usage_events()) == []
    assert cli.main(["usage"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split() == ["queued", "0", "2"]
    assert cli.main(["usage", "--events"]) == 0
    assert cli.main(["jobs", "delete", "--label", "n:1", "--older-than", "1s", "--json"]) == 0
    assert cli.main(["jobs", "delete", "--status", "cancelled", "--yes", "--json"]) == 0
    deletions = [json.loads(line) for line in capsys.readouterr().out.splitlines()[1:]]
    assert sum(deletion["deleted"] for deletion in deletions) == 2
    assert cli.main(["jobs", "delete"]) == cli.main(["tenants", "set", "t"]) == 2
    assert cli.main(["tenants", "set", "t", "--queued", "-1"]) == 2
    assert cli.main(["tenants", "set", "default", "--queued", "none", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["quotas"]["queued"] is None
    assert cli.main(["tenants", "show", "default"]) == 0
    assert cli.main(["tenants", "list"]) == 0
    assert "default: keep_last 5" in capsys.readouterr().out
