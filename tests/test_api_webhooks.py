"""Webhooks over HTTP: created, changed, deleted, refused; deliveries listed, tested, sent again."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.spec.notify import parse_url
from jobs.store import keys
from jobs.store.connection import Store
from jobs.webhooks import addresses, service
from tests.support import small_spec

PUBLIC = "https://1.1.1.1/in"
HOOK = {"url": PUBLIC, "events": ["job.succeeded"]}


def make(client: Any, **changes: Any) -> Any:
    response = client.post("/v1/webhooks", json={**HOOK, **changes})
    assert response.status_code == 201, response.json
    return response.json


def errors(response: Any) -> dict[str, str]:
    assert response.status_code == 422, response.json
    return {error["pointer"]: error["detail"] for error in response.json["errors"]}


def test_a_webhook_is_made_and_its_secret_shown_once(client: Any) -> None:
    created = make(client, labels={"a": "b"}, name="n", format="cloudevents")
    assert created["secret"].startswith("whsec_") and created["id"].startswith("wh_")
    del created["secret"]
    assert client.get(f"/v1/webhooks/{created['id']}").json == created
    assert client.get("/v1/webhooks").json["data"] == [created]
    assert (created["events"], created["enabled"], created["waiting"]) == (
        ["job.succeeded"],
        True,
        0,
    )


def test_a_repeated_request_makes_one_webhook_and_shows_no_secret(client: Any) -> None:
    once = {"Idempotency-Key": "k"}
    first = client.post("/v1/webhooks", json=HOOK, headers=once).json
    again = client.post("/v1/webhooks", json=HOOK, headers=once)
    assert again.headers["Idempotent-Replayed"] == "true" and "secret" not in again.json
    assert again.json["id"] == first["id"]
    other = client.post("/v1/webhooks", json={**HOOK, "name": "x"}, headers=once)
    assert other.status_code == 422
    assert client.delete(f"/v1/webhooks/{first['id']}").status_code == 204
    assert client.post("/v1/webhooks", json=HOOK, headers=once).status_code == 410


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"url": "ftp://1.1.1.1/"}, "/url"),
        ({"url": "https://user:word@1.1.1.1/"}, "/url"),
        ({"url": "https://1.1.1.1:0/"}, "/url"),
        ({"url": "https://1.1.1.1/#part"}, "/url"),
        ({"url": "https://1.1.1.1/a b"}, "/url"),
        ({"url": "http://127.0.0.1:80/"}, "/url"),
        ({"url": "http://localhost/"}, "/url"),
        ({"url": "http://[::1]/"}, "/url"),
        ({"events": []}, "/events"),
        ({"events": ["job.failed", "*"]}, "/events"),
        ({"events": ["job.ended"]}, "/events/0"),
        ({"events": "*"}, "/events"),
        ({"labels": {"a:b": "c"}}, "/labels/a:b"),
        ({"format": "xml"}, "/format"),
        ({"more": 1}, "/more"),
    ],
)
def test_a_body_that_breaks_a_rule_is_422_with_its_field(
    client: Any, changes: dict[str, Any], pointer: str
) -> None:
    response = client.post("/v1/webhooks", json={**HOOK, **changes})
    assert list(errors(response)) == [pointer]
    assert len(response.json["errors"]) == 1
    assert client.get("/v1/webhooks").json["data"] == []


def test_a_patch_changes_what_it_names(client: Any) -> None:
    created = make(client)
    path = f"/v1/webhooks/{created['id']}"
    changes = {"url": "http://8.8.8.8:81/x", "events": ["*"], "labels": {"a": "b"}, "name": "m"}
    changed = client.patch(path, json=changes).json
    assert {name: changed[name] for name in changes} == changes and "secret" not in changed
    rotated = client.patch(path, json={"rotate": True}).json
    assert rotated["secret"] != created["secret"] and rotated["old_secret_until"]
    off = client.patch(path, json={"enabled": False}).json
    assert (off["enabled"], off["disabled_reason"]) == (False, "by its owner")
    on = client.patch(path, json={"enabled": True}).json
    assert (on["enabled"], on["disabled_reason"], on["disabled_at"]) == (True, None, None)
    assert "/url" in errors(client.patch(path, json={"url": "http://10.0.0.1/"}))
    for name in (*changes, "format", "enabled", "rotate"):
        assert errors(client.patch(path, json={name: None})).keys() == {f"/{name}"}
    assert errors(client.patch(path, json={"rotate": 1})).keys() == {"/rotate"}
    assert "secret" not in client.patch(path, json={"rotate": False}).json


def test_a_deleted_webhook_is_404_everywhere(client: Any) -> None:
    path = f"/v1/webhooks/{make(client)['id']}"
    assert client.delete(path).status_code == 204
    for method, part in (
        ("GET", ""), ("PATCH", ""), ("DELETE", ""), ("GET", "/deliveries"), ("POST", "/test"),
        ("POST", f"/deliveries/msg_{'a' * 26}/redeliver"),
    ):  # fmt: skip
        how = {} if method == "GET" else {"json": {}}
        response = client.open(path + part, method=method, **how)
        assert response.status_code == 404
        assert response.json["type"] == "urn:tickforge:problem:no-such-webhook"


def test_the_tenants_own_webhook_is_made_at_the_first_read_and_stays(client: Any) -> None:
    own = client.get("/v1/webhooks/default").json
    again = client.get("/v1/webhooks/default").json
    assert own["secret"].startswith("whsec_") and "secret" not in again
    assert (again["id"], again["url"], again["events"]) == (own["id"], None, ["*"])
    assert client.patch("/v1/webhooks/default", json={"rotate": True}).json["secret"]
    changed = client.patch("/v1/webhooks/default", json={"events": ["job.failed"]}).json
    assert changed["events"] == ["job.failed"]
    assert "/url" in errors(client.patch("/v1/webhooks/default", json={"url": PUBLIC}))
    for response in (
        client.delete("/v1/webhooks/default"), client.delete(f"/v1/webhooks/{own['id']}"),
        client.post("/v1/webhooks/default/test"),
    ):  # fmt: skip
        assert response.status_code == 409
        assert response.json["type"] == "urn:tickforge:problem:own-webhook"


def test_a_change_of_the_tenants_own_webhook_makes_it_and_shows_its_secret_once(
    client: Any,
) -> None:
    own = client.patch("/v1/webhooks/default", json={"events": ["job.failed"]}).json
    assert own["secret"].startswith("whsec_") and own["events"] == ["job.failed"]
    assert "secret" not in client.patch("/v1/webhooks/default", json={"name": "own"}).json
    assert client.get("/v1/webhooks/default").json["id"] == own["id"]


def test_a_reader_is_not_shown_the_secret_that_its_request_made(client: Any) -> None:
    body = {"tenant": "t", "scopes": ["read"]}
    secret = client.post("/v1/keys", json=body).json["secret"]
    reader = {"Authorization": f"Bearer {secret}"}
    assert "secret" not in client.get("/v1/webhooks/default", headers=reader).json
    assert client.post("/v1/webhooks", json=HOOK, headers=reader).status_code == 403


def test_a_test_is_a_delivery_that_waits_and_can_be_sent_again(client: Any) -> None:
    hook = make(client)
    path = f"/v1/webhooks/{hook['id']}"
    sent = [client.post(f"{path}/test") for _ in range(3)]
    assert [response.status_code for response in sent] == [202] * 3
    page = client.get(f"{path}/deliveries?limit=2").json
    rest = client.get(f"{path}/deliveries?after={page['next_after']}").json
    listed = [delivery["id"] for delivery in (*page["data"], *rest["data"])]
    assert listed == [response.json["id"] for response in reversed(sent)]
    first = rest["data"][0]
    assert (first["event"], first["status"], first["attempt"]) == ("webhook.test", "waiting", 0)
    again = client.post(f"{path}/deliveries/{first['id']}/redeliver")
    assert (again.status_code, again.json["id"]) == (202, first["id"])
    missing = client.post(f"{path}/deliveries/msg_{'a' * 26}/redeliver")
    assert missing.status_code == 404
    assert missing.json["type"] == "urn:tickforge:problem:no-such-delivery"


def test_nothing_is_sent_again_to_a_disabled_webhook(client: Any, store: Store) -> None:
    hook = make(client)
    path, message = f"/v1/webhooks/{hook['id']}", "msg_" + "b" * 26
    record = {"id": message, "lane": "job_x", "status": "failed", "attempt": "1"}
    store.hset(keys.webhook_message("default", hook["id"], message), mapping=record)
    client.patch(path, json={"enabled": False})
    response = client.post(f"{path}/deliveries/{message}/redeliver")
    assert response.status_code == 409
    assert response.json["type"] == "urn:tickforge:problem:webhook-disabled"
    assert "by its owner" in response.json["detail"]


def test_a_tenant_has_a_bounded_number_of_webhooks(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "MAX_WEBHOOKS", 2)
    make(client), make(client)
    refused = client.post("/v1/webhooks", json=HOOK)
    assert refused.status_code == 429 and refused.json["limit"] == 2


def test_whom_a_job_names_is_checked_at_its_submission_and_plan(client: Any) -> None:
    hook = make(client)["id"]
    job = client.post("/v1/jobs", json=small_spec(notify=[hook, PUBLIC])).json
    assert job["spec"]["notify"] == [hook, PUBLIC]
    wrong = ["wh_" + "z" * 26, "http://169.254.169.254/latest", hook]
    for path in ("/v1/jobs", "/v1/jobs/plan"):
        faults = errors(client.post(path, json=small_spec(notify=wrong)))
        assert faults.keys() == {"/notify/0", "/notify/1"}
        assert "/notify" in errors(client.post(path, json=small_spec(notify=[hook, hook])))
        assert "/notify/0" in errors(client.post(path, json=small_spec(notify=["wh_x"])))
        own = client.get("/v1/webhooks/default").json["id"]
        assert "/notify/0" in errors(client.post(path, json=small_spec(notify=[own])))


def test_a_job_is_warned_of_whom_it_names_and_nothing_would_be_sent_to(client: Any) -> None:
    hook = make(client)["id"]
    body = small_spec(notify=[hook, PUBLIC])
    job = client.post("/v1/jobs", json=body).json
    warnings = [item for item in job["warnings"] if item.startswith("/notify")]
    for disabled in (hook, "default"):
        client.patch(f"/v1/webhooks/{disabled}", json={"enabled": False})
    for answer in (
        client.post("/v1/jobs", json=body), client.post("/v1/jobs/plan", json=body),
    ):  # fmt: skip
        warnings += [item for item in answer.json["warnings"] if item.startswith("/notify")]
    disabled = "is disabled (by its owner): nothing is sent"
    assert warnings == 2 * [
        f"/notify/0: this webhook {disabled}",
        f"/notify/1: the tenant's own webhook, which signs for it, {disabled}",
    ]


PRIVATE = (
    "10.0.0.1", "172.16.0.1", "192.168.1.1", "127.0.0.1", "127.1.2.3", "169.254.169.254",
    "100.64.0.1", "0.0.0.0", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255",
    "192.0.2.1", "198.18.0.1", "::1", "::", "fe80::1", "fc00::1", "ff02::1", "::ffff:10.0.0.1",
    "::ffff:127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1", "2002:7f00:1::", "::127.0.0.1",
    "2001:db8::1", "64:ff9b:1::a00:1", "2001:0:0a00:1::", "::ffff:0:127.0.0.1", "fe80::1%eth0",
    "fec0::1", "64:ff9b:1::808:808", "64:ff9b:1:7f00::808:808", "3fff::1", "5f00::1",
    "192.88.99.1", "::ffff:192.88.99.1",
)  # fmt: skip


def test_only_addresses_of_the_public_internet_may_be_called_unless_they_are_listed() -> None:
    from ipaddress import ip_network

    rules = addresses.AddressRules()
    for address in PRIVATE:
        with pytest.raises(addresses.RefusedAddress, match="no public address"):
            rules.check_addresses("a.example", ["1.1.1.1", address])
    for address in ("1.1.1.1", "2606:4700::1111", "64:ff9b::101:101", "::ffff:1.1.1.1"):
        rules.check_addresses("a.example", [address])
    listed = addresses.AddressRules(["hook.local"], [ip_network("10.0.0.0/8")])
    listed.check_addresses("hook.local.", ["127.0.0.1"])
    listed.check_addresses("any.example", ["10.1.2.3", "::ffff:10.1.2.3"])
    for host, address in (("other.local", "127.0.0.1"), ("any.example", "192.168.0.1")):
        with pytest.raises(addresses.RefusedAddress):
            listed.check_addresses(host, [address])


@given(st.from_regex(r"https?://[a-z0-9.\[\]:@/?#%\\_-]{1,30}", fullmatch=True))
def test_an_address_has_one_meaning_for_every_reader_of_it(text: str) -> None:
    import httpcore

    try:
        url = parse_url(text)
    except ValueError:
        return
    read = httpcore.URL(text)
    assert (read.scheme.decode(), read.host.decode()) == (url.scheme, url.host)
    assert (read.port or {"http": 80, "https": 443}[url.scheme]) == url.port
    # of an empty query we send the question mark, too
    assert read.target.decode().rstrip("?") == url.target.rstrip("?")
