"""Cursors of before a rebuild: nothing that differs is skipped or comes again under its number."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from jobs.settings import Settings
from jobs.store.numbering import NUMBERS_PER_REBUILD, Numbering
from tests.event_frames import parse_sse
from tests.manual_worker import ManualWorker
from tests.test_jobs_archive import TENANT, RebuildHarness

SSE = {"Accept": "text/event-stream"}


@given(
    steps=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=6),
    cursor=st.integers(0, 6),
    life=st.integers(0, 6),
)
def test_a_number_counts_the_items_that_were_numbered_up_to_it(
    steps: list[tuple[int, int]], cursor: int, life: int
) -> None:
    items, leaps = [], [(0, 0)]
    for number, (added, lost) in enumerate(steps, 1):
        items += [leaps[-1][1] + len(items) + n - leaps[-1][0] for n in range(1, added + 1)]
        items = items[: len(items) - min(lost, len(items) - leaps[-1][0])]
        leaps = [leap for leap in leaps if leap[0] != len(items) or not leap[1]]
        leaps.append((len(items), number * NUMBERS_PER_REBUILD))
    numbering = Numbering(*zip(*leaps, strict=True))
    assert [numbering.number(place) for place in range(1, len(items) + 1)] == items
    any_number = life * NUMBERS_PER_REBUILD + cursor
    last = max([*items, leaps[-1][1]])
    if any_number <= last:
        assert numbering.count(any_number) == sum(item <= any_number for item in items)


@dataclass
class Follower:
    """A client that goes on from what it saw last, by pages or by a stream."""

    client: Any
    path: str
    limit: int
    seen: dict[int, Any] = field(default_factory=dict)

    @property
    def after(self) -> int:
        return max(self.seen, default=0)

    def read(self) -> None:
        while (page := self._page())["data"]:
            self._see(page["data"])

    def read_stream(self) -> None:
        """Read the rest of an ended job's events by Last-Event-ID."""
        response = self.client.get(self.path, headers={**SSE, "Last-Event-ID": str(self.after)})
        frames = parse_sse(response.text.split("\n"))
        self._see([json.loads(data) for kind, data in frames if kind != "ticks"])

    def _page(self) -> Any:
        return self.client.get(f"{self.path}?after={self.after}&limit={self.limit}").json

    def _see(self, events: list[dict[str, Any]]) -> None:
        for event in events:
            assert event["seq"] > self.after, "an event came again, or behind a newer one"
            self.seen[event["seq"]] = event


@pytest.mark.parametrize("seed", range(8))
def test_a_client_that_goes_on_from_its_cursor_misses_and_repeats_no_event(
    seed: int, client: Any, submit: Callable[..., str], store: "redis.Redis", settings: Settings
) -> None:
    chance, harness = random.Random(seed), RebuildHarness(store, settings)
    job_id = submit(budget={"ticks": 100})
    worker = ManualWorker(store, settings)
    path = f"/v1/jobs/{job_id}/events"
    followers = [Follower(client, path, chance.choice((1, 3, 100))) for _ in range(4)]
    for _ in range(30):
        step = chance.choice(("event", "event", "event", "archive", "read", "read", "lose"))
        if step == "event":
            worker.record([chance.random()])
            worker.save()
        elif step == "archive":
            harness.archive.save(TENANT, job_id, lease=worker.lease)
        elif step == "read":
            chance.choice(followers).read()
        else:
            assert harness.lose_and_rebuild() == 0
            worker = ManualWorker(store, settings)
    worker.end("cancelled")
    listed = client.get(f"{path}?limit=1000").json["data"]
    for number, follower in enumerate(followers):
        follower.read_stream() if number % 2 else follower.read()
        for event in listed:
            assert follower.seen[event["seq"]] == event, "missed, or another one under its number"
    check_descending(client, path, listed)


def check_descending(client: Any, path: str, listed: list[dict[str, Any]]) -> None:
    seen: list[Any] = []
    query = "order=desc&limit=2"
    while (page := client.get(f"{path}?{query}").json)["data"]:
        seen += page["data"]
        if not page["has_more"]:
            break
        query = f"order=desc&limit=2&after={page['next_after']}"
    assert seen == listed[::-1]


def test_a_cursor_of_attempts_shows_those_after_a_rebuild(
    client: Any, submit: Callable[..., str], store: "redis.Redis", settings: Settings
) -> None:
    job_id, harness = submit(), RebuildHarness(store, settings)
    worker = ManualWorker(store, settings)
    harness.archive.save(TENANT, job_id, lease=worker.lease)
    for _ in range(2):  # these are lost
        worker.ledger.finish(worker.lease, "queued", 0, reason="drain")
        worker = ManualWorker(store, settings)
    path = f"/v1/jobs/{job_id}/attempts"
    cursor = client.get(f"{path}?limit=2").json["next_after"]
    assert harness.lose_and_rebuild() == 0
    ManualWorker(store, settings)
    page = client.get(f"{path}?after={cursor}").json["data"]
    assert [attempt["number"] for attempt in page] == [2]


def test_new_jobs_have_numbers_that_no_list_has_shown(
    client: Any, submit: Callable[..., str], store: "redis.Redis", settings: Settings
) -> None:
    harness = RebuildHarness(store, settings)
    submit()
    unanswered = submit()  # its request was under way: nothing of it is archived
    submit()
    cursor = client.get("/v1/jobs?order=asc&limit=2").json["next_after"]
    for job_id in client.get("/v1/jobs").json["data"][:2]:
        harness.submission(job_id["id"]).unlink()
    assert harness.lose_and_rebuild() == 0
    new = submit()
    listed = client.get(f"/v1/jobs?order=asc&after={cursor}").json["data"]
    assert [job["id"] for job in listed] == [new] and unanswered != new


def test_a_job_whose_ticks_were_shown_goes_on_with_equal_bits_alone(
    client: Any, submit: Callable[..., str], store: "redis.Redis", settings: Settings
) -> None:
    """One that was paused before its first tick has a canary, and has shown ticks since."""
    job_id, harness = submit(), RebuildHarness(store, settings)
    worker = ManualWorker(store, settings)
    client.post(f"/v1/jobs/{job_id}/pause")
    worker.end("paused")
    client.post(f"/v1/jobs/{job_id}/resume")
    ManualWorker(store, settings).record([1.0, 2.0])
    assert harness.lose_and_rebuild() == 0
    other = worker.ledger.claim("cpu", worker="other", device="cpu", canaries={"1": "another"})
    assert other is None


def test_a_cursor_of_ticks_beyond_a_rebuilt_job_waits_until_they_are_run_again(
    client: Any, submit: Callable[..., str], store: "redis.Redis", settings: Settings
) -> None:
    job_id, harness = submit(budget={"ticks": 100}), RebuildHarness(store, settings)
    worker = ManualWorker(store, settings)
    worker.record([3.0, 2.0])
    worker.save()
    harness.archive.save(TENANT, job_id, lease=worker.lease)
    worker.record([1.0, 0.5])
    path = f"/v1/jobs/{job_id}/history"
    assert client.get(f"{path}?after=2").json["loss"] == [1.0, 0.5]
    assert harness.lose_and_rebuild() == 0
    beyond = client.get(f"{path}?after=4").json
    assert (beyond["loss"], beyond["last_tick"]) == ([], 2)
    assert client.get(f"/v1/jobs/{job_id}").json["tick"] == 2
    ManualWorker(store, settings).record([1.0, 0.5, 0.25])
    assert client.get(f"{path}?after=4").json["loss"] == [0.25]
