"""Webhooks called by a real worker over real HTTP: signed, in order, again, and whom it refuses."""

import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from cloudevents.v1.http import from_http
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from werkzeug.serving import make_server

from faults.webhooks.receiver import Call, WebhookReceiver, running_receiver
from jobs.store import keys
from tests.api_harness import ApiHarness, running_api_harness
from tests.documents import code_blocks
from tests.support import small_spec, wait_until
from tickforge_client import verify_webhook

#: of one attempt without a stop
EVENTS = ["job.started", "job.validated", "job.checkpointed", "job.succeeded"]
SPEC = small_spec(validation={"fraction": 0.25, "every_ticks": 20}, name="näme")


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiHarness]:
    data = tmp_path_factory.mktemp("webhooks")
    with running_api_harness(data, TICKFORGE_WEBHOOK_ALLOW="127.0.0.1") as api:
        api.start_worker("caller")
        yield api


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    with running_receiver() as server:
        yield server


@pytest.fixture
def hook(harness: ApiHarness, receiver: WebhookReceiver) -> Iterator["Hook"]:
    created = Hook(harness, url=receiver.url + "/in?x=1", events=["*"])
    yield created
    harness.http.delete(created.path)


class Hook:
    """A webhook of the harness."""

    def __init__(self, harness: ApiHarness, **fields: Any) -> None:
        self._harness = harness
        response = harness.http.post("/v1/webhooks", json=fields)
        assert response.status_code == 201, response.json
        self.id, self.secret = response.json["id"], response.json["secret"]
        self.path = f"/v1/webhooks/{self.id}"

    def get(self) -> Any:
        return self._harness.http.get(self.path).json

    def deliveries(self) -> list[dict[str, Any]]:
        return list(self._harness.http.get(f"{self.path}/deliveries").json["data"])

    def wait_for_status(self, status: str, count: int) -> list[dict[str, Any]]:
        def matching() -> list[dict[str, Any]]:
            return [item for item in self.deliveries() if item["status"] == status]

        wait_until(lambda: len(matching()) >= count, 15, f"{count} {status} deliveries")
        return matching()

    def wait_for_retry(self) -> dict[str, Any]:
        """Wait for a delivery that was tried in vain and waits for its next try."""

        def tried() -> list[dict[str, Any]]:
            waiting = [item for item in self.deliveries() if item["status"] == "waiting"]
            return [item for item in waiting if item["attempt"]]

        wait_until(lambda: bool(tried()), 15, "a failed try")
        return tried()[0]

    def hurry(self, job_id: str) -> None:
        """Let the next try of a job's first message be due now."""
        self._harness.store.zadd(keys.webhook_lanes("default", self.id), {job_id: 0})
        self._harness.store.zadd(keys.WEBHOOKS_DUE, {f"default/{self.id}": 0})


def test_a_jobs_events_come_in_order_signed_and_as_they_were(
    harness: ApiHarness, receiver: WebhookReceiver, hook: Hook
) -> None:
    job = harness.wait_for_end(harness.submit(SPEC))
    calls = receiver.wait_for(4)
    assert receiver.types() == EVENTS
    assert {call.path for call in calls} == {"/in?x=1"} and len({call.id for call in calls}) == 4
    for call in calls:
        assert Webhook(hook.secret).verify(call.body, call.headers) == call.json
        assert call.headers["content-type"] == "application/json"
    data = calls[-1].json["data"]
    for name in ("id", "name", "labels", "status", "tick", "ticks_total", "loss", "metrics",
                 "best", "stopped_by", "error"):  # fmt: skip
        assert data[name] == job[name], name
    assert calls[0].json["data"]["status"] == "running"
    listed = hook.wait_for_status("delivered", 4)
    assert [item["id"] for item in listed] == [call.id for call in reversed(calls)]
    assert {item["response_code"] for item in listed} == {204}
    metrics = harness.http.get("/metrics").text
    assert 'tickforge_webhook_calls_total{outcome="delivered"} 4.0' in metrics


def test_a_failed_try_is_made_again_with_the_same_id_while_later_events_wait(
    harness: ApiHarness, receiver: WebhookReceiver, hook: Hook
) -> None:
    refused: list[str] = []

    def refuse_first(call: Call) -> int:
        if call.type == "job.started" and not refused:
            refused.append(call.id)
            return 500
        return 200

    receiver.answer = refuse_first
    job_id = harness.submit(SPEC)
    harness.wait_for_end(job_id)
    waiting = hook.wait_for_retry()
    assert (waiting["response_code"], waiting["error"]) == (500, "answered 500")
    other = harness.submit(SPEC)
    receiver.wait_for(5)
    assert {call.json["data"]["id"] for call in receiver.calls[1:]} == {other}
    hook.hurry(job_id)
    receiver.wait_for(9)
    again = [call for call in receiver.calls if call.json["data"]["id"] == job_id]
    assert [call.type for call in again] == ["job.started", *EVENTS]
    assert again[0].id == again[1].id and again[0].body == again[1].body
    assert Webhook(hook.secret).verify(again[1].body, again[1].headers)


def test_a_redirect_is_not_followed_and_410_disables_at_once(
    harness: ApiHarness, receiver: WebhookReceiver, hook: Hook
) -> None:
    receiver.answer = lambda call: 302
    job_id = harness.submit(SPEC)
    harness.wait_for_end(job_id)
    tried = hook.wait_for_retry()
    assert tried["error"] == "answered 302: redirects are not followed"
    receiver.answer = lambda call: 410
    hook.hurry(job_id)
    hook.wait_for_status("failed", 4)
    assert [call.path for call in receiver.calls] == ["/in?x=1"] * 2
    info = hook.get()
    assert (info["enabled"], info["disabled_reason"]) == (False, "it answered 410 (gone)")
    archived = list((harness.files.root / "tickforge.archive/webhooks").glob(f"*{hook.id}*"))
    assert b"answered 410" in archived[0].read_bytes()
    receiver.answer = lambda call: 204
    path = f"{hook.path}/deliveries/{tried['id']}/redeliver"
    assert harness.http.post(path).status_code == 409
    assert harness.http.post(f"{hook.path}/test").status_code == 202
    assert receiver.wait_for(3)[-1].type == "webhook.test"
    harness.http.patch(hook.path, json={"enabled": True})
    assert harness.http.post(path).status_code == 202
    assert receiver.wait_for(4)[-1].id == tried["id"]


def test_a_receiver_that_does_not_answer_delays_nobody_else(
    harness: ApiHarness, receiver: WebhookReceiver, hook: Hook
) -> None:
    is_over = threading.Event()
    receiver.answer = lambda call: 204 if call.path != "/slow" or is_over.wait(60) else 500
    slow = Hook(harness, url=f"{receiver.url}/slow", events=["*"])
    try:
        for _ in range(2):
            harness.submit(SPEC)
        hook.wait_for_status("delivered", 2 * len(EVENTS))
        assert [item for item in slow.deliveries() if item["status"] == "delivered"] == []
    finally:
        is_over.set()
        harness.http.delete(slow.path)


def test_a_new_secret_signs_beside_the_one_before(
    harness: ApiHarness, receiver: WebhookReceiver, hook: Hook
) -> None:
    new = harness.http.patch(hook.path, json={"rotate": True}).json["secret"]
    harness.http.post(f"{hook.path}/test")
    (call,) = receiver.wait_for(1)
    assert Webhook(hook.secret).verify(call.body, call.headers)
    assert Webhook(new).verify(call.body, call.headers)
    record = keys.webhook("default", hook.id)
    harness.store.hset(record, "old_until_ms", 1)
    harness.http.post(f"{hook.path}/test")
    call = receiver.wait_for(2)[-1]
    assert Webhook(new).verify(call.body, call.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(hook.secret).verify(call.body, call.headers)


def test_an_address_that_a_job_names_is_called_and_the_tenants_own_secret_signs(
    harness: ApiHarness, receiver: WebhookReceiver
) -> None:
    secret = harness.http.get("/v1/webhooks/default").json["secret"]
    harness.submit({**SPEC, "notify": [f"{receiver.url}/a", f"{receiver.url}/b"]})
    calls = receiver.wait_for(8)
    for path in ("/a", "/b"):
        assert [call.type for call in calls if call.path == path] == EVENTS
    assert len({call.id for call in calls}) == 8
    assert all(verify_webhook(call.body, call.headers, secret) for call in calls)


def test_cloudevents_are_read_by_their_own_library(
    harness: ApiHarness, receiver: WebhookReceiver
) -> None:
    hook = Hook(harness, url=receiver.url, events=["job.succeeded"], format="cloudevents")
    job_id = harness.submit(SPEC)
    (call,) = receiver.wait_for(1)
    event = from_http(call.headers, call.body)
    assert (event["type"], event["subject"], event["id"]) == ("job.succeeded", job_id, call.id)
    assert event["source"] == f"/v1/jobs/{job_id}" and event["specversion"] == "1.0"
    assert event.data["name"] == "näme"
    assert Webhook(hook.secret).verify(call.body, call.headers)
    harness.http.delete(hook.path)


def test_the_receiver_of_the_documents_takes_what_its_webhook_signed_and_nothing_else(
    harness: ApiHarness, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (code,) = code_blocks("docs/integrations.md", "A receiver of webhooks", "python")
    assert len([line for line in code.splitlines() if line]) == 12
    names: dict[str, Any] = {"__name__": "receiver"}
    exec(compile(code, "receiver.py", "exec"), names)
    with make_server("127.0.0.1", 0, names["app"]) as server:
        threading.Thread(target=server.serve_forever).start()
        url = f"http://127.0.0.1:{server.server_port}/hooks/tickforge"
        hook = Hook(harness, url=url, events=["job.succeeded"])
        monkeypatch.setenv("WEBHOOK_SECRET", hook.secret)
        job = harness.wait_for_end(harness.submit(SPEC))
        (delivery,) = hook.wait_for_status("delivered", 1)
        unsigned = httpx.post(url, json={"type": "job.succeeded", "data": {}})
        server.shutdown()
    harness.http.delete(hook.path)
    assert delivery["response_code"] == 204
    printed = capsys.readouterr().out.splitlines()
    assert [line for line in printed if line.startswith("job.")] == [
        f"job.succeeded näme {job['loss']}"
    ]
    assert (unsigned.status_code, unsigned.text.split(":")[0]) == (
        400, "without the header webhook-id",
    )  # fmt: skip
