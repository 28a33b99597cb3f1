"""Answers held until there is news: what ends a wait, what does not, and what comes then."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from api import job_responses, long_polling
from api.app import create_app
from jobs.settings import Settings
from jobs.store.connection import Store, connect
from tests.held_requests import HeldRequest
from tests.manual_worker import ManualWorker
from tests.support import running_store, settings_for, small_spec

Wait = Callable[..., HeldRequest]
Change = Callable[[ManualWorker, Any], Any]
BEST_AT_3 = {"metric": "val_loss", "tick": 3, "value": 0.5, "metrics": {"val_loss": 0.5}}


@pytest.fixture
def worker(worker: ManualWorker) -> ManualWorker:
    """The owner of a running job at tick 2."""
    worker.record([1.0, 2.0])
    return worker


@pytest.fixture
def path(worker: ManualWorker) -> str:
    return job_path(worker)


def job_path(worker: ManualWorker) -> str:
    return f"/v1/jobs/{worker.lease.job_id}"


@pytest.fixture
def wait(client: Any) -> Iterator[Wait]:
    """Begin a GET that is held."""
    yield lambda path, **headers: HeldRequest(client.application, path, **headers)
    assert (
        client.application.extensions[long_polling.LONG_POLLER_EXTENSION].held_request_limit.in_use
        == 0
    )


def test_a_verb_ends_a_wait_at_once(
    client: Any, wait: Wait, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_responses, "PROGRESS_AFTER_SECONDS", 15.0)
    held = wait(f"{path}?wait=20").wait_until_held()
    client.post(f"{path}/pause")
    response = held.wait_for_response(10)
    assert (response.status_code, response.json["requested"]) == (200, "pause")


#: a change of a running job at tick 2: who makes it, and how its answer shows it
SIGNIFICANT_CHANGES: dict[str, tuple[Change, Callable[[dict[str, Any]], bool]]] = {
    "checkpoint": (lambda worker, _: worker.save(), lambda job: job["latest_checkpoint"] == 2),
    "name": (
        lambda worker, client: client.patch(job_path(worker), json={"name": "another"}),
        lambda job: job["name"] == "another",
    ),
    "end": (lambda worker, _: worker.end("cancelled"), lambda job: job["status"] == "cancelled"),
    "best": (
        lambda worker, _: worker.record([0.5], best=BEST_AT_3),
        lambda job: job["best"] == BEST_AT_3,
    ),
}


@pytest.mark.parametrize("change", SIGNIFICANT_CHANGES)
def test_a_significant_change_ends_a_wait_at_once(
    client: Any,
    wait: Wait,
    worker: ManualWorker,
    path: str,
    change: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(job_responses, "PROGRESS_AFTER_SECONDS", 15.0)
    make_change, is_shown = SIGNIFICANT_CHANGES[change]
    before = client.get(path)
    assert not is_shown(before.json)
    held = wait(f"{path}?wait=20", If_None_Match=before.headers["ETag"]).wait_until_held()
    make_change(worker, client)
    response = held.wait_for_response(10)
    assert response.status_code == 200 and is_shown(response.json)


def test_progress_alone_ends_a_wait_after_a_second_and_no_sooner(
    client: Any, wait: Wait, worker: ManualWorker, path: str
) -> None:
    held = wait(f"{path}?wait=20", If_None_Match=client.get(path).headers["ETag"]).wait_until_held()
    worker.record([3.0])
    response = held.wait_for_response(10)
    assert (response.status_code, response.json["tick"]) == (200, 3)
    assert held.seconds >= 1.0


def test_progress_before_the_request_ends_a_wait_after_a_second(
    client: Any, wait: Wait, worker: ManualWorker, path: str
) -> None:
    old = client.get(path).headers["ETag"]
    worker.record([3.0])
    held = wait(f"{path}?wait=20", If_None_Match=old)
    assert held.wait_for_response(10).json["tick"] == 3
    assert held.seconds >= 1.0


def test_a_significant_change_before_the_request_is_answered_without_a_wait(
    client: Any, worker: ManualWorker, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        long_polling.HeldRequestLimit, "acquire", lambda self: pytest.fail("it waits")
    )
    old = client.get(path).headers["ETag"]
    worker.save()
    for tag in (old, '"no tag of ours"', f"W/{old}"):
        response = client.get(f"{path}?wait=20", headers={"If-None-Match": tag})
        assert response.status_code == 200


@pytest.mark.parametrize("sent", [True, False])
def test_a_wait_without_a_change_is_304_for_a_client_with_the_etag(
    client: Any, path: str, sent: bool
) -> None:
    tag = client.get(path).headers["ETag"]
    response = client.get(f"{path}?wait=0.2", headers={"If-None-Match": tag} if sent else {})
    assert response.status_code == (304 if sent else 200)
    assert response.headers["ETag"] == tag


def test_a_wait_without_an_etag_ends_with_the_next_change(
    wait: Wait, worker: ManualWorker, path: str
) -> None:
    held = wait(f"{path}?wait=20").wait_until_held()
    worker.record([3.0])
    assert held.wait_for_response(10).json["tick"] == 3
    assert held.seconds >= 1.0


def test_a_wait_for_the_end_ends_with_nothing_else(
    client: Any, wait: Wait, worker: ManualWorker, path: str
) -> None:
    tag = client.get(path).headers["ETag"]
    held = wait(f"{path}?wait=20&until=end", If_None_Match=tag).wait_until_held()
    worker.record([3.0])
    worker.save()
    client.patch(path, json={"notes": "still there"})
    worker.end("cancelled")
    assert held.wait_for_response(10).json["status"] == "cancelled"
    assert client.get(f"{path}?wait=20&until=end").json["status"] == "cancelled"


def test_a_wait_for_a_tick_ends_at_that_tick(
    client: Any, wait: Wait, worker: ManualWorker, path: str
) -> None:
    held = wait(f"{path}?wait=20&until=tick:5").wait_until_held()
    worker.record([3.0])
    worker.record([4.0, 5.0, 6.0])
    assert held.wait_for_response(10).json["tick"] >= 5
    assert client.get(f"{path}?wait=20&until=tick:6").json["tick"] == 6


def test_a_wait_for_a_tick_of_an_ended_job_is_answered_at_once(
    client: Any, worker: ManualWorker, path: str
) -> None:
    worker.end("cancelled")
    assert client.get(f"{path}?wait=20&until=tick:50").json["tick"] == 2


def test_a_wait_with_until_answers_200_when_its_time_is_over(client: Any, path: str) -> None:
    sent = {"If-None-Match": client.get(path).headers["ETag"]}
    response = client.get(f"{path}?wait=0.2&until=end", headers=sent)
    assert (response.status_code, response.json["tick"]) == (200, 2)


def test_a_queued_jobs_place_is_progress_too(
    client: Any, wait: Wait, submit: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(long_polling, "POLL_SECONDS", 0.1)
    first, second = submit(), submit()
    path = f"/v1/jobs/{second}"
    held = wait(f"{path}?wait=20", If_None_Match=client.get(path).headers["ETag"]).wait_until_held()
    client.post(f"/v1/jobs/{first}/cancel")
    assert held.wait_for_response(10).json["queue"]["position"] == 1


def test_a_job_that_is_deleted_meanwhile_is_404(
    client: Any, wait: Wait, worker: ManualWorker, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(long_polling, "POLL_SECONDS", 0.1)
    worker.end("cancelled")
    held = wait(f"{path}?wait=20").wait_until_held()
    client.delete(path)
    assert held.wait_for_response(10).status_code == 404


def test_a_deleted_key_ends_its_waits_with_401(
    client: Any, wait: Wait, worker: ManualWorker, path: str
) -> None:
    body = {"tenant": "default", "scopes": ["read"]}
    key, other = (client.post("/v1/keys", json=body).json for _ in range(2))
    queries = ("?until=end&", "/history?after=5&", "/events?after=5&", "/logs?after=5&")
    held = [
        wait(f"{path}{query}wait=30", Authorization=f"Bearer {key['secret']}").wait_until_held()
        for query in queries
    ]
    valid = wait(f"{path}?until=end&wait=30", Authorization=f"Bearer {other['secret']}")
    valid.wait_until_held()
    client.delete(f"/v1/keys/{key['id']}")
    assert [request.wait_for_response(20).status_code for request in held] == [401] * 4
    worker.end("cancelled")
    assert valid.wait_for_response(20).status_code == 200


@pytest.mark.parametrize(
    ("query", "parameters"),
    [
        ("wait=31", ["wait"]),
        ("wait=-1", ["wait"]),
        ("wait=nan", ["wait"]),
        ("wait=", ["wait"]),
        ("wait=1_0", ["wait"]),
        ("wait=1&until=tick:-1", ["until"]),
        ("wait=x&until=never", ["wait", "until"]),
    ],
)
def test_an_impossible_wait_is_400_and_names_the_parameter(
    client: Any, path: str, query: str, parameters: list[str]
) -> None:
    response = client.get(f"{path}?{query}")
    assert response.status_code == 400
    assert [error["parameter"] for error in response.json["errors"]] == parameters


def test_a_history_is_held_until_a_tick_lies_beyond(
    wait: Wait, worker: ManualWorker, path: str
) -> None:
    held = wait(f"{path}/history?after=3&wait=20").wait_until_held()
    worker.record([3.0])
    worker.record([4.0])
    assert held.wait_for_response(10).json["tick"] == [4]


def test_a_history_with_a_tick_beyond_is_answered_at_once(client: Any, path: str) -> None:
    assert client.get(f"{path}/history?wait=20").json["tick"] == [1, 2]
    assert client.get(f"{path}/history?wait=20&points=1").json["loss"]["mean"] == [1.5]
    csv = client.get(f"{path}/history?wait=20&after=1", headers={"Accept": "text/csv"})
    assert csv.text.split() == ["tick,loss", "2,2.0"]


@pytest.mark.parametrize("form", ["application/json", "text/csv"])
def test_a_known_history_is_held_until_it_changes(
    client: Any, wait: Wait, worker: ManualWorker, path: str, form: str
) -> None:
    whole = f"{path}/history"
    tag = client.get(whole, headers={"Accept": form}).headers["ETag"]
    sent = {"Accept": form, "If_None_Match": tag}
    assert wait(f"{whole}?wait=0.2", **sent).wait_for_response().status_code == 304
    held = wait(f"{whole}?wait=20", **sent).wait_until_held()
    worker.record([3.0])
    assert held.wait_for_response(10).status_code == 200


def test_a_wait_for_a_condition_ends_at_a_tick_that_meets_it_and_no_sooner(
    client: Any, wait: Wait, worker: ManualWorker, path: str
) -> None:
    held = wait(f"{path}?wait=20&until=loss<0.5").wait_until_held()
    worker.record([3.0, 0.5])  # 0.5 is not below it
    assert client.get(f"{path}?wait=0.3&until=loss<0.5").json["tick"] == 4
    worker.record([0.25, 7.0])
    response = held.wait_for_response(10)
    assert (response.status_code, response.json["tick"]) == (200, 6)
    assert response.headers["X-Until-Met"] == "true"


def test_a_response_says_whether_what_was_waited_for_is_so(
    client: Any, worker: ManualWorker, path: str
) -> None:
    def met(until: str) -> str:
        return str(client.get(path, query_string={"until": until}).headers["X-Until-Met"])

    forms = ("end", "tick:2", "tick>=3", "loss<1.5", "loss<0.5", "lr>9")
    assert [met(form) for form in forms] == ["false", "true", "false", "true", "false", "false"]
    worker.end("cancelled")
    assert [met(form) for form in forms] == ["true", "true", "false", "true", "false", "false"]
    assert "X-Until-Met" not in client.get(path).headers


def test_a_condition_that_was_met_before_the_wait_ends_it_at_once(
    client: Any, worker: ManualWorker, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        long_polling.HeldRequestLimit, "acquire", lambda self: pytest.fail("it waits")
    )
    worker.record([0.25, 3.0])
    for condition in ("loss<0.5", "loss>1.5", "tick>=4", "lr>0", "lr<1"):
        response = client.get(f"{path}?wait=20&until={condition}")
        assert (response.status_code, response.json["tick"]) == (200, 4), condition


@pytest.mark.parametrize(
    ("condition", "rule"),
    [
        ("val_loss<1", "needs validation"), ("grad_norm>1", "tick, loss, lr"), ("tick>5", ">=N"),
        ("loss<=1", "< or >"), ("loss>nan", "a finite number"), ("END", "end, tick:N"),
        ("tick:-1", "end, tick:N"), ("loss<" + "1" * 100, "100 characters"),
    ],
)  # fmt: skip
def test_a_wait_for_what_is_no_condition_of_this_job_is_400_with_the_rule(
    client: Any, path: str, condition: str, rule: str
) -> None:
    response = client.get(path, query_string={"wait": "20", "until": condition})
    (error,) = response.json["errors"]
    assert response.status_code == 400 and rule in error["detail"]
    assert (error["parameter"], error["value"]) == ("until", condition)


def test_the_end_of_a_job_ends_a_wait_for_its_history(
    wait: Wait, worker: ManualWorker, path: str
) -> None:
    held = wait(f"{path}/history?after=2&wait=20").wait_until_held()
    worker.end("cancelled")
    assert held.wait_for_response(10).json["complete"] is True


def test_a_wait_beyond_the_limit_is_answered_at_once_and_a_stream_refused(
    client: Any, worker: ManualWorker, path: str
) -> None:
    places = client.application.extensions[long_polling.LONG_POLLER_EXTENSION].held_request_limit
    assert places.limit == 192
    while places.acquire():
        pass
    try:
        response = client.get(f"{path}?wait=20")
        assert (response.status_code, response.headers["Retry-After"]) == (200, "2")
        sent = {"If-None-Match": response.headers["ETag"]}
        response = client.get(f"{path}?wait=20", headers=sent)
        assert (response.status_code, response.headers["Retry-After"]) == (304, "2")
        for part in ("history?after=2", "events?after=9", "logs?after=0"):
            response = client.get(f"{path}/{part}&wait=20")
            assert (response.status_code, response.headers["Retry-After"]) == (200, "2"), part
        assert "Retry-After" not in client.get(f"{path}/history?wait=20").headers
        stream = client.get(f"{path}/events", headers={"Accept": "text/event-stream"})
        assert (stream.status_code, stream.headers["Retry-After"]) == (503, "2")
        assert stream.json["type"] == "urn:tickforge:problem:crowded"
    finally:
        for _ in range(places.limit):
            places.release()


def test_a_process_that_stops_answers_its_waits(client: Any, wait: Wait, path: str) -> None:
    held = wait(f"{path}?wait=30").wait_until_held()
    client.application.extensions[long_polling.LONG_POLLER_EXTENSION].notice_listener.close()
    assert held.wait_for_response(10).status_code == 200
    assert client.get(f"{path}?wait=30").status_code == 200


@pytest.mark.slow
def test_a_wait_outlives_the_stores_restart(tmp_path: Path) -> None:
    with running_store() as server:
        settings = settings_for(server.url, tmp_path)
        app = create_app(settings)
        store = connect(server.url)
        worker = submitted(app, store, settings)
        held = HeldRequest(
            app, f"/v1/jobs/{worker.lease.job_id}?wait=30&until=end"
        ).wait_until_held()
        time.sleep(2)  # its first look at the job, which a dead store would answer with 503
        server.kill()
        server.start()
        worker.end("cancelled")
        assert held.wait_for_response(10).json["status"] == "cancelled"
        store.close()


def submitted(app: Any, store: Store, settings: Settings) -> ManualWorker:
    from tests.support import ADMIN_KEY

    key = {"Authorization": f"Bearer {ADMIN_KEY}"}
    assert app.test_client().post("/v1/jobs", json=small_spec(), headers=key).status_code == 202
    return ManualWorker(store, settings)
