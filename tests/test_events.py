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
from tests.hand import FINGERPRINT, Hand
from tests.waits import Held


@pytest.fixture
def hand(submit: Callable[..., str], store: Store, settings: Settings) -> Hand:
    submit(budget={"ticks": 100}, validation={"fraction": 0.25, "every_ticks": 2})
    return Hand(store, settings)


@pytest.fixture
def path(hand: Hand) -> str:
    return f"/v1/jobs/{hand.lease.job_id}/events"


def validate(hand: Hand, loss: float) -> None:
    """Two ticks, and a validation at the second."""
    point = SparsePoint("val_loss", hand.tick + 2, struct.pack("<d", loss))
    hand.record([1.0, 2.0], [point], metrics={"val_loss": loss})


def test_a_jobs_story_is_told_in_order_and_numbered(client: Any, hand: Hand, path: str) -> None:
    validate(hand, 0.5)
    hand.save(is_best=True)
    client.post(path.replace("events", "stop"))
    hand.end("failed", error={"type": "trainer", "detail": "it broke", "tick": 2})

    page = client.get(path).json
    told = [(each["seq"], each["type"], each["data"]) for each in page["data"]]
    nothing = {"requested": None, "stopped_by": None, "error": None}
    error = {"type": "trainer", "detail": "it broke", "tick": 2}
    assert told == [
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
def test_pages_hold_every_event_once(client: Any, hand: Hand, path: str, order: str) -> None:
    for _ in range(5):
        hand.record([1.0])
        hand.save()
    seen: list[int] = []
    after = ""
    while True:
        page = client.get(f"{path}?limit=3&order={order}{after}").json
        seen += [each["seq"] for each in page["data"]]
        if not page["has_more"]:
            break
        after = f"&after={page['next_after']}"
    assert seen == (list(range(1, 8)) if order == "asc" else list(range(7, 0, -1)))


def test_the_oldest_go_when_there_are_too_many_and_numbers_stay(
    client: Any, hand: Hand, path: str, store: Store
) -> None:
    name = (hand.lease.tenant, hand.lease.job_id)
    filler = json.dumps({"seq": 0, "at": 0, "type": "log", "data": {}})
    with store.pipeline() as pipe:
        for number in range(3, MAX_EVENTS + 1):
            pipe.rpush(keys.events(*name), filler.replace('"seq": 0', f'"seq": {number}'))
        pipe.execute()
    for _ in range(3):
        hand.record([1.0])
        hand.save()

    assert store.llen(keys.events(*name)) == MAX_EVENTS
    assert [each["seq"] for each in client.get(f"{path}?limit=2").json["data"]] == [4, 5]
    newest = client.get(f"{path}?after={MAX_EVENTS}").json
    assert [each["seq"] for each in newest["data"]] == [MAX_EVENTS + n for n in (1, 2, 3)]
    assert not newest["has_more"]
    page = client.get(f"{path}?order=desc&after=6&limit=9").json
    assert [each["seq"] for each in page["data"]] == [5, 4] and not page["has_more"]
    look = Events(store).read_since(*name, MAX_EVENTS + 2)
    assert [event.seq for event in look.events] == [MAX_EVENTS + 3] and look.seq == MAX_EVENTS + 3


def test_the_list_is_304_until_something_happens(client: Any, hand: Hand, path: str) -> None:
    known = {"If-None-Match": client.get(path).headers["ETag"]}
    hand.record([1.0])
    assert client.get(path, headers=known).status_code == 304
    hand.save()
    assert client.get(path, headers=known).status_code == 200


def test_it_is_held_until_one_lies_beyond(client: Any, hand: Hand, path: str) -> None:
    held = Held(client.application, f"{path}?after=2&wait=20").waits()
    hand.record([1.0])  # a tick is no event
    hand.save()
    assert [each["type"] for each in held.answer(10).json["data"]] == ["checkpoint"]


def test_nothing_more_comes_of_an_ended_job(client: Any, hand: Hand, path: str) -> None:
    hand.end("cancelled")
    assert client.get(f"{path}?after=3&wait=20").json["data"] == []


def test_when_its_time_is_over_it_is_304_for_who_has_it(client: Any, hand: Hand, path: str) -> None:
    page = client.get(f"{path}?after=2&wait=0.1")
    assert (page.status_code, page.json["data"]) == (200, [])
    sent = {"If-None-Match": page.headers["ETag"]}
    assert client.get(f"{path}?after=2&wait=0.1", headers=sent).status_code == 304


@pytest.mark.parametrize(
    ("query", "parameters"),
    [("after=-1", ["after"]), ("limit=0&wait=99", ["limit", "wait"]), ("from=1", ["from"])],
)
def test_what_cannot_be_asked_is_400(
    client: Any, path: str, query: str, parameters: list[str]
) -> None:
    answer = client.get(f"{path}?{query}")
    assert answer.status_code == 400
    assert [each["parameter"] for each in answer.json["errors"]] == parameters


def lines(client: Any, path: str) -> list[tuple[str, str]]:
    """Level and message of a job's `log` events."""
    found = client.get(f"{path}?limit=1000").json["data"]
    data = [each["data"] for each in found if each["type"] == "log"]
    return [(each["level"], each["message"]) for each in data]


def test_a_workers_lines_are_events_up_to_a_bound(client: Any, hand: Hand, path: str) -> None:
    hand.ledger.add_log_event(hand.lease, "warning", 'checkpoint 5 is "damaged"\n')
    for number in range(201):
        hand.ledger.add_log_event(hand.lease, "info", f"line {number}")
    told = lines(client, path)
    assert told[0] == ("warning", 'checkpoint 5 is "damaged"\n')
    assert len(told) == 200 and told[-1] == ("warning", "more is told in the log alone")


def test_nobody_tells_a_line_after_its_lease(hand: Hand) -> None:
    hand.end("cancelled")
    with pytest.raises(LeaseLost):
        hand.ledger.add_log_event(hand.lease, "info", "too late")


def test_a_lost_worker_a_job_given_back_and_another_fingerprint_are_told(
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
    ledger.release(second.lease, "queued", 1, reason="the trainer stood still and was killed")

    lost, changed, given_back = lines(client, path)
    assert lost == ("warning", "the lease of worker first ran out")
    assert changed[1].startswith("another fingerprint from tick 2 on: eager 3 c")
    assert given_back == ("warning", "the trainer stood still and was killed")
