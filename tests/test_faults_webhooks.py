"""No event is lost or changed while senders and store are killed; all of it: `make webhooks`."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from faults.webhooks import hunt as hunting
from faults.webhooks.producer import Producer
from faults.webhooks.receiver import Call
from faults.webhooks.sender import FAULT_POINTS
from jobs.store.connection import Store
from jobs.store.scripts import LUA_FOLDER
from tests.support import ROOT

#: where a crash leaves the most behind: moved or not, called and not recorded, recorded
POINTS = ("store:webhook_fan_out:after", "webhooks:answered", "store:webhook_report:after")


def test_killed_senders_and_a_killed_store_lose_no_event_and_double_only_calls() -> None:
    result = hunting.hunt(400, seed=7, points=POINTS)
    assert result.faults == []
    assert result.events == 400 and result.refused > 10
    assert result.store_kills == 2 and result.kills == Counter(POINTS)


def test_the_hunt_knows_each_step_of_the_sender() -> None:
    scripts = {path.stem for path in LUA_FOLDER.glob("webhook_*.lua")}
    clients = {"webhook_make", "webhook_patch", "webhook_delete", "webhook_send", "webhook_restore"}
    hit = {f"store:{name}:{when}" for name in scripts - clients for when in ("before", "after")}
    text = (ROOT / "workers/webhook_sender.py").read_text()
    hit |= {part.split('"')[0] for part in text.split('fault_points.hit("')[1:]}
    assert hit == set(FAULT_POINTS)


def calls_of(producer: Producer) -> list[Call]:
    bodies = [(job, kind, tick) for names in producer.events.values() for job, kind, tick in names]
    return [
        Call("/", {"webhook-id": f"msg_{number}"}, body(*name), 204)
        for number, name in enumerate(bodies)
    ]


def body(job: str, kind: str, tick: int) -> bytes:
    return f'{{"type":"{kind}","data":{{"id":"{job}","tick":{tick}}}}}'.encode()


@pytest.mark.parametrize("broken", ["lost", "out of order", "two ids", "two bodies", "not taken"])
def test_each_broken_promise_would_be_seen(store: Store, tmp_path: Path, broken: str) -> None:
    producer = Producer(store, 0)
    producer.events["job_a"] = [("job_a", "job.started", 0), ("job_a", "job.validated", 1)]
    calls = calls_of(producer)
    assert list(hunting.find_faults(producer, [*calls, calls[0]])) == [], "a double is none"
    changes: dict[str, Any] = {
        "lost": calls[:1],
        "out of order": calls[::-1],
        "two ids": [*calls, replace(calls[0], headers={"webhook-id": "msg_other"})],
        "two bodies": [*calls, replace(calls[0], body=calls[0].body + b" ")],
        "not taken": [calls[0], replace(calls[1], status=500)],
    }
    assert list(hunting.find_faults(producer, changes[broken])) != []
