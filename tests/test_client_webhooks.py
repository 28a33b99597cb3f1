"""The client's webhooks: messages verified as others sign them, and commands at the real API."""

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook
from werkzeug.datastructures import Headers

from tests.api_process import running_api
from tests.stub_server import KEY, StubResponse, running_stub
from tests.support import ADMIN_KEY
from tickforge_client import Client, InvalidWebhook, cli, verify_webhook

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OTHER = "whsec_" + base64.b64encode(b"another secret of this length..").decode()
NOW = 1_795_928_272
BODY = json.dumps({"type": "job.succeeded", "data": {"name": "näme"}}, ensure_ascii=False)


def signed(
    body: str = BODY, *, secret: str = SECRET, at: float = NOW, **changes: str
) -> dict[str, str]:
    """Return the headers as the reference library signs them."""
    signature = Webhook(secret).sign("msg_1", datetime.fromtimestamp(at, UTC), body)
    headers = {"Webhook-Id": "msg_1", "WEBHOOK-TIMESTAMP": str(int(at))}
    return {**headers, "webhook-signature": signature, **changes}


def test_a_message_that_the_reference_library_signed_is_verified() -> None:
    for body in (BODY, BODY.encode()):
        assert verify_webhook(body, signed(), SECRET, now=NOW) == json.loads(BODY)


def test_headers_come_as_frameworks_have_them_and_secrets_as_files_have_them() -> None:
    pairs = list(signed().items())
    of_asgi = [(name.lower().encode(), value.encode("latin-1")) for name, value in pairs]
    forms: list[Any] = [pairs, tuple(pairs), of_asgi, Headers(pairs), [("X-Other", 5), *pairs]]
    for headers in forms:
        for secret in (SECRET, f"{SECRET}\n".encode()):
            assert verify_webhook(bytearray(BODY.encode()), headers, secret, now=NOW)


@pytest.mark.parametrize("place", ["{} v1,AAAA", "v1,AAAA {}", "v1a,AAAA {} v1,", "{} {}"])
def test_one_right_signature_of_several_is_enough(place: str) -> None:
    headers = signed()
    several = place.replace("{}", headers["webhook-signature"])
    assert verify_webhook(BODY, {**headers, "webhook-signature": several}, SECRET, now=NOW)


#: what arrives, and a part of the error
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "another body": ({"body": BODY + " "}, "not by this secret"),
    "another secret": ({"headers": signed(secret=OTHER)}, "not by this secret"),
    "another id": ({"headers": signed(**{"Webhook-Id": "msg_2"})}, "not by this secret"),
    "another time": ({"headers": signed(**{"WEBHOOK-TIMESTAMP": str(NOW + 1)})}, "not by this"),
    "no signature of this version": (
        {"headers": signed(**{"webhook-signature": "v2," + signed()["webhook-signature"][3:]})},
        "not by this secret",
    ),
    "a signature of odd characters": (
        {"headers": signed(**{"webhook-signature": "v1,\udc80é"})}, "not by this secret",
    ),
    "no id": ({"headers": signed(**{"Webhook-Id": ""})}, "without the header webhook-id"),
    "no signature": ({"headers": {"webhook-id": "a", "webhook-timestamp": "1"}}, "-signature"),
    "a time that is none": (
        {"headers": signed(**{"WEBHOOK-TIMESTAMP": "1e9"})}, "'1e9' is no time",
    ),
    "an old message": ({"now": NOW + 301}, "301 s before this machine's time"),
    "a message of the future": ({"now": NOW - 301}, "301 s after this machine's time"),
    "a secret that is none": ({"secret": "whsec_"}, "the secret is not whsec_"),
    "a secret that is no base64": ({"secret": "whsec_a!b"}, "the secret is not whsec_"),
    "no secret": ({"secret": None}, "the secret is of type NoneType"),
    "a secret of odd characters": ({"secret": b"whsec_\xff"}, "the secret is not whsec_"),
    "no headers": ({"headers": None}, "headers are of type NoneType: a mapping, or pairs"),
    "headers as a text": ({"headers": "webhook-id: a"}, "headers are of type str"),
    "lists of values": (
        {"headers": {**signed(), "webhook-id": ["a"]}}, "webhook-id is of type list",
    ),
    "an id of odd characters": (
        {"headers": signed(**{"Webhook-Id": "\udc80"})}, "not by this secret",
    ),
    "a parsed body": ({"body": json.loads(BODY)}, "its body is of type dict: the bytes that came"),
    "a body of odd characters": ({"body": "\udc80"}, "not by this secret"),
    "no JSON": ({"body": "a", "headers": signed("a")}, "no JSON"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_with_a_message_is_told(wrong: str) -> None:
    changes, words = WRONG[wrong]
    arguments = {"body": BODY, "headers": signed(), "secret": SECRET, "now": NOW, **changes}
    with pytest.raises(InvalidWebhook, match=words):
        verify_webhook(**arguments)


def test_messages_of_five_minutes_are_taken_on_both_sides() -> None:
    for now in (NOW - 300, NOW + 300):
        assert verify_webhook(BODY, signed(), SECRET, now=now)


@pytest.fixture(scope="module")
def url(empty_store: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    data = tmp_path_factory.mktemp("webhooks")
    with running_api(empty_store, data, TICKFORGE_WEBHOOK_ALLOW="127.0.0.1") as api:
        yield str(api.base_url)


def test_a_webhook_is_made_shown_tested_rotated_and_deleted(
    url: str, store: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TICKFORGE_URL", url)
    monkeypatch.setenv("TICKFORGE_KEY", ADMIN_KEY)

    def command(*words: str) -> str:
        assert cli.main(["webhooks", *words]) == 0
        return capsys.readouterr().out.strip()

    address = "http://127.0.0.1:9/hook"
    secret = command("create", address, "--event", "job.failed", "--label", "team:a:b")
    assert secret.startswith("whsec_") and secret not in command("list")
    with Client(url, ADMIN_KEY) as client:
        (webhook,) = client.webhooks()
        assert webhook["labels"] == {"team": "a:b"} and webhook["events"] == ["job.failed"]
        assert client.update_webhook(webhook["id"], enabled=False)["enabled"] is False
    hook = webhook["id"]
    assert "disabled" in command("list") and address in command("show", hook)
    assert command("enable", hook) == f"{hook} is enabled"
    assert command("rotate", hook).startswith("whsec_")
    message = command("test", hook)
    listed = json.loads(command("deliveries", hook, "--json"))
    assert [(one["id"], one["status"]) for one in listed] == [(message, "waiting")]
    assert "webhook.test" in command("deliveries", hook)
    assert message in command("redeliver", hook, message)
    assert (
        command("delete", hook, "--yes") == f"{hook} is deleted"
        and command("list").count("wh_") == 0
    )
    assert cli.main(["webhooks", "create", address, "--label", "team"]) == 2
    assert cli.main(["webhooks", "show", hook]) == 2


def test_a_webhook_whose_answer_with_the_secret_was_lost_gets_another_secret() -> None:
    replayed = StubResponse(201, {"id": "wh_a"})
    rotated = StubResponse(200, {"id": "wh_a", "secret": SECRET})
    with running_stub([replayed, rotated]) as server, Client(server.url, KEY) as client:
        assert client.create_webhook("https://ci.example/")["secret"] == SECRET
    assert server.request_lines() == ["POST /v1/webhooks", "PATCH /v1/webhooks/wh_a"]
    assert server.requests[1].body == {"rotate": True}
