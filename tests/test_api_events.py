"""A job's events as a list: numbers, pages, waits; and what makes a `log` event."""

import json
import struct
import time
from collections.abc import Callable
from typing import Any

import pytest

from jobs.errors import LeaseLost
from jobs.job import SparsePoint
from jobs.ledger.owner import LeaseLedger
from jobs.queries.events import MAX_EVENTS, Events
from jobs.settings import Settings
from jobs.store import keys
from jobs.store.connection import Store
from tests.held_requests import HeldRequest
from tests.manual_worker import FINGERPRINT, ManualWorker


@pytest.fixture
def worker(submit: Callable[..., str], store: Store, settings: Settings) -> ManualWorker:
    submit(budget={"ticks": 100}, validation={"fraction": 0.25, "every_ticks": 2})
    return ManualWorker(store, settings)


@pytest.fixture
def path(worker: ManualWorker) -> str:
    return f"/v1/jobs/{worker.lease.job_id}/events"


def validate(worker: ManualWorker, loss: float) -> None:
    """Two ticks, and a validation at the second."""
    point = SparsePoint("val_loss", worker.tick + 2, struct.pack("<d", loss))
    worker.record([1.0, 2.0], [point], metrics={"val_loss": loss})


def test_the_events_of_a_job_are_in_order_and_numbered(
    client: Any, worker: ManualWorker, path: str
) -> None:
    validate(worker, 0.5)
    worker.save(is_best=True)
    client.post(path.replace("events", "stop"))
    worker.end("failed", error={"type": "trainer", "detail": "it broke", "tick": 2})

    page = client.get(path).json
    story = [(event["seq"], event["type"], event["data"]) for event in page["data"]]
    nothing = {"requested": None, "stopped_by": None, "error": None}
    error = {"type": "trainer", "detail": "it broke", "tick": 2}
    assert story == [
        (1, "status", {"status": "queued", **nothing}),
        (2, "status", {"status": "running", **nothing}),
        (3, "validation", {"tick": 2, "metrics": {"val_loss": 0.5}}),
        (4, "checkpoint", {"tick": 2, "is_best": True, "is_final": False}),
        (5, "status", {**nothing, "status": "running", "requested": "stop"}),
        (6, "status", {**nothing, "status": "failed", "error": error}),
    ]
    assert set(page["data"][0]) == {"seq", "at", "type", "data"}
    assert page["data"][0]["at"].endswith("Z")
    assert (page["next_after"], page["has_more"]) == (None, False)


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_pages_hold_every_event_once(
    client: Any, worker: ManualWorker, path: str, order: str
) -> None:
    for _ in range(5):
        worker.record([1.0])
        worker.save()
    seen: list[int] = []
    after = ""
    while True:
        page = client.get(f"{path}?limit=3&order={order}{after}").json
        seen += [event["seq"] for event in page["data"]]
        if not page["has_more"]:
            break
        after = f"&after={page['next_after']}"
    assert seen == (list(range(1, 8)) if order == "asc" else list(range(7, 0, -1)))


def test_the_oldest_events_are_dropped_beyond_the_limit_and_numbers_stay(
    client: Any, worker: ManualWorker, path: str, store: Store
) -> None:
    name = (worker.lease.tenant, worker.lease.job_id)
    filler = json.dumps({"seq": 0, "at": 0, "type": "log", "data": {}})
    with store.pipeline() as pipe:
        for number in range(3, MAX_EVENTS + 1):
            pipe.rpush(keys.events(*name), filler.replace('"seq": 0', f'"seq": {number}'))
        pipe.execute()
    for _ in range(3):
        worker.record([1.0])
        worker.save()

    assert store.llen(keys.events(*name)) == MAX_EVENTS
    assert [entry["seq"] for entry in client.get(f"{path}?limit=2").json["data"]] == [4, 5]
    newest = client.get(f"{path}?after={MAX_EVENTS}").json
    assert [entry["seq"] for entry in newest["data"]] == [MAX_EVENTS + n for n in (1, 2, 3)]
    assert not newest["has_more"]
    page = client.get(f"{path}?order=desc&after=6&limit=9").json
    assert [entry["seq"] for entry in page["data"]] == [5, 4] and not page["has_more"]
    look = Events(store).read_since(*name, MAX_EVENTS + 2)
    assert [event.seq for event in look.events] == [MAX_EVENTS + 3] and look.seq == MAX_EVENTS + 3


def test_the_list_is_304_until_something_happens(
    client: Any, worker: ManualWorker, path: str
) -> None:
    known = {"If-None-Match": client.get(path).headers["ETag"]}
    worker.record([1.0])
    assert client.get(path, headers=known).status_code == 304
    worker.save()
    assert client.get(path, headers=known).status_code == 200


def test_a_request_for_events_is_held_until_an_event_lies_beyond(
    client: Any, worker: ManualWorker, path: str
) -> None:
    held = HeldRequest(client.application, f"{path}?after=2&wait=20").wait_until_held()
    worker.record([1.0])  # a tick is no event
    worker.save()
    assert [event["type"] for event in held.wait_for_response(10).json["data"]] == ["checkpoint"]


def test_an_ended_job_gets_no_more_events(client: Any, worker: ManualWorker, path: str) -> None:
    worker.end("cancelled")
    assert client.get(f"{path}?after=3&wait=20").json["data"] == []


def test_a_held_request_for_events_is_304_when_its_time_is_over(
    client: Any, worker: ManualWorker, path: str
) -> None:
    page = client.get(f"{path}?after=2&wait=0.1")
    assert (page.status_code, page.json["data"]) == (200, [])
    sent = {"If-None-Match": page.headers["ETag"]}
    assert client.get(f"{path}?after=2&wait=0.1", headers=sent).status_code == 304


@pytest.mark.parametrize(
    ("query", "parameters"),
    [("after=-1", ["after"]), ("limit=0&wait=99", ["limit", "wait"]), ("from=1", ["from"])],
)
def test_an_impossible_query_for_events_is_400(
    client: Any, path: str, query: str, parameters: list[str]
) -> None:
    response = client.get(f"{path}?{query}")
    assert response.status_code == 400
    assert [error["parameter"] for error in response.json["errors"]] == parameters


def lines(client: Any, path: str) -> list[tuple[str, str]]:
    """Level and message of a job's `log` events."""
    events = client.get(f"{path}?limit=1000").json["data"]
    data = [event["data"] for event in events if event["type"] == "log"]
    return [(event["level"], event["message"]) for event in data]


def test_a_workers_lines_are_events_up_to_a_bound(
    client: Any, worker: ManualWorker, path: str
) -> None:
    worker.ledger.add_log_event(worker.lease, "warning", 'checkpoint 5 is "damaged"\n')
    for number in range(201):
        worker.ledger.add_log_event(worker.lease, "info", f"line {number}")
    log_lines = lines(client, path)
    assert log_lines[0] == ("warning", 'checkpoint 5 is "damaged"\n')
    assert len(log_lines) == 200 and log_lines[-1] == ("warning", "more is told in the log alone")


def test_an_owner_without_the_lease_adds_no_log_line(worker: ManualWorker) -> None:
    worker.end("cancelled")
    with pytest.raises(LeaseLost):
        worker.ledger.add_log_event(worker.lease, "info", "too late")


def test_a_lost_worker_a_released_job_and_another_fingerprint_are_events(
    client: Any, submit: Callable[..., str], store: Store
) -> None:
    job_id = submit(compute={"exact": "best_effort"})
    path = f"/v1/jobs/{job_id}/events"
    brief, ledger = LeaseLedger(store, lease_seconds=0.05), LeaseLedger(store, lease_seconds=60)
    who = {"device": "cpu", "canaries": {"1": "c"}}
    first = brief.claim("cpu", worker="first", **who)
    assert first is not None
    brief.record_engine(first.lease, "eager", "cpu", FINGERPRINT)
    brief.append_ticks(first.lease, 1, 1, {"loss": b"\0" * 4}, {}, 0, {})
    time.sleep(0.1)
    second = ledger.claim("cpu", worker="second", **who)
    assert second is not None
    ledger.record_engine(second.lease, "eager", "cpu", {**FINGERPRINT, "torch": "3"})
    ledger.finish(second.lease, "queued", 1, reason="the trainer stood still and was killed")

    lost, changed, given_back = lines(client, path)
    assert lost == ("warning", "the lease of worker first ran out")
    assert changed[1].startswith("another fingerprint from tick 2 on: eager 3 c")
    assert given_back == ("warning", "the trainer stood still and was killed")
