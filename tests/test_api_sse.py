"""Server-sent events over real HTTP: what a stream tells, where it begins, when it ends."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from jobs.settings import Settings
from jobs.store.connection import Store
from tests.api_process import running_api
from tests.manual_worker import ManualWorker
from tests.sse import SSE, Frame, open_stream
from tests.support import settings_for, small_spec, wait_until

THREADS, PLACES = 16, 12


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def api(empty_store: str, data: Path) -> Iterator[httpx.Client]:
    bounded = {"TICKFORGE_API_THREADS": str(THREADS), "TICKFORGE_API_PROCESSES": "1"}
    with running_api(empty_store, data, **bounded) as client:
        yield client


@pytest.fixture
def settings(store_server: str, data: Path) -> Settings:
    return settings_for(store_server, data)


@pytest.fixture
def submit(api: httpx.Client, store: Store) -> Callable[..., str]:
    """Submit a small job to the process; gives its id."""
    return lambda **changes: str(
        api.post("/v1/jobs", json=small_spec(**changes)).raise_for_status().json()["id"]
    )


@pytest.fixture
def path(worker: ManualWorker) -> str:
    return f"/v1/jobs/{worker.lease.job_id}/events"


def summarize(frames: list[Frame]) -> list[tuple[str, Any, str | None]]:
    return [(frame.type, frame.data.get("seq"), frame.id) for frame in frames]


def test_an_ended_jobs_stream_is_its_whole_story_and_ends(
    api: httpx.Client, worker: ManualWorker, path: str
) -> None:
    worker.record([1.0, 0.5])
    worker.save()
    worker.end("cancelled")
    with open_stream(api, path) as stream:
        headers = stream.response.headers
        frames = stream.read_rest()
    assert headers["Content-Type"].startswith("text/event-stream")
    assert (headers["Cache-Control"], headers["X-Accel-Buffering"]) == ("no-store", "no")
    assert summarize(frames) == [
        ("ticks", None, None), ("status", 1, "1"), ("status", 2, "2"), ("checkpoint", 3, "3"),
        ("status", 4, "4"),
    ]  # fmt: skip
    assert frames[0].data == {"tick": 2, "loss": 0.5}
    assert [frame.data for frame in frames[1:]] == api.get(path).json()["data"]


def test_events_are_streamed_as_they_happen(
    api: httpx.Client, worker: ManualWorker, path: str
) -> None:
    with open_stream(api, f"{path}?after=2") as stream:
        assert stream.next().data == {"tick": 0, "loss": None}
        worker.record([1.0])
        assert stream.next("ticks").data == {"tick": 1, "loss": 1.0}
        worker.save()
        assert stream.next("checkpoint").id == "3"
        worker.ledger.add_log_event(worker.lease, "info", "so it goes")
        assert stream.next("log").data["data"] == {"level": "info", "message": "so it goes"}
        worker.end("cancelled")
        assert summarize(stream.read_rest()) == [("status", 5, "5")]


@pytest.mark.parametrize(
    ("query", "sent", "first"), [("", "3", 4), ("?after=3", None, 4), ("?after=1", "4", 5)]
)
def test_a_stream_resumes_after_the_last_event_id(
    api: httpx.Client, worker: ManualWorker, path: str, query: str, sent: str | None, first: int
) -> None:
    worker.save()
    worker.record([1.0])
    worker.save()
    worker.end("cancelled")
    headers = {"Last_Event_ID": sent} if sent else {}
    with open_stream(api, path + query, **headers) as stream:
        ids = [int(frame.id) for frame in stream.read_rest() if frame.id]
    assert ids == list(range(first, 6))


def test_a_client_with_all_events_of_an_ended_job_gets_the_end(
    api: httpx.Client, worker: ManualWorker, path: str
) -> None:
    worker.end("cancelled")
    with open_stream(api, path, Last_Event_ID="3") as stream:
        assert summarize(stream.read_rest()) == [("ticks", None, None)]


@pytest.mark.parametrize("sent", ["x", "-1", "1.0", "", "9" * 30])
def test_a_bad_last_event_id_is_400_and_names_the_header(
    api: httpx.Client, path: str, sent: str
) -> None:
    response = api.get(path, headers={**SSE, "Last-Event-ID": sent})
    assert response.status_code == 400
    assert response.json()["errors"][0]["header"] == "Last-Event-ID"


def test_a_stream_takes_no_parameter_of_a_list(api: httpx.Client, path: str) -> None:
    response = api.get(f"{path}?wait=1&limit=2", headers=SSE)
    assert response.status_code == 400
    assert [error["parameter"] for error in response.json()["errors"]] == ["limit", "wait"]


def test_tick_events_come_at_most_four_times_a_second_and_include_the_last(
    api: httpx.Client, worker: ManualWorker, path: str
) -> None:
    with open_stream(api, f"{path}?after=2") as stream:
        seen = [stream.next("ticks")]
        for _ in range(40):
            worker.record([1.0])
            time.sleep(0.02)
        while seen[-1].data["tick"] < 40:
            seen.append(stream.next("ticks"))
        worker.end("cancelled")
        stream.read_rest()
    assert len(seen) <= 2 + 4 * (seen[-1].received_at - seen[0].received_at)


def test_many_jobs_come_in_one_stream_to_the_end_of_the_last(
    api: httpx.Client, submit: Callable[..., str], store: Store, settings: Settings
) -> None:
    ids = [submit(), submit()]
    first = ManualWorker(store, settings)
    query = "&".join(f"job={item}" for item in [*ids, ids[0]])
    with open_stream(api, f"/v1/events?{query}") as stream:
        begun = [stream.next() for _ in range(4)]
        assert [item.data["job_id"] for item in begun] == ids * 2
        assert [item.type for item in begun] == ["status", "status", "ticks", "ticks"]
        assert [item.data["data"]["status"] for item in begun[:2]] == ["running", "queued"]
        assert begun[0].data["seq"] == 2

        first.record([1.0])
        assert stream.next("ticks").data == {"job_id": ids[0], "tick": 1, "loss": 1.0}
        first.end("cancelled")
        second = ManualWorker(store, settings)
        second.end("cancelled")
        rest = stream.read_rest()
    assert [(item.data["job_id"], item.data["data"]["status"]) for item in rest] == [
        (ids[0], "cancelled"), (ids[1], "running"), (ids[1], "cancelled"),
    ]  # fmt: skip
    assert all(item.id is None for item in [*begun, *rest])


def test_a_stream_of_many_names_what_is_not_there(api: httpx.Client, worker: ManualWorker) -> None:
    unknown = ["job_" + "a" * 26, "job_" + "b" * 26]
    query = "&".join(f"job={item}" for item in [worker.lease.job_id, *unknown])
    response = api.get(f"/v1/events?{query}", headers=SSE)
    assert response.status_code == 404
    assert [item["value"] for item in response.json()["errors"]] == unknown
    for query in ("", "job=x", "&".join(f"job={unknown[0]}" for _ in range(51))):
        refused = api.get(f"/v1/events?{query}", headers=SSE)
        assert refused.status_code == 400, query
        assert refused.json()["errors"][0]["parameter"] == "job"
    assert api.get("/v1/events?job=x", headers={"Accept": "text/csv"}).status_code == 406


@pytest.mark.slow
def test_a_closed_clients_place_is_free_again(
    api: httpx.Client, worker: ManualWorker, path: str
) -> None:
    with ExitStack() as opened:
        streams = [opened.enter_context(open_stream(api, path)) for _ in range(PLACES)]
        for stream in streams:
            assert stream.next("ticks")
        assert api.get(path, headers=SSE).status_code == 503
        assert api.get(f"/v1/jobs/{worker.lease.job_id}?wait=20").headers["Retry-After"] == "2"
    wait_until(lambda: api.head(path, headers=SSE).status_code == 200, 12, "a free place")


def test_a_deleted_key_ends_its_streams(api: httpx.Client, submit: Callable[..., str]) -> None:
    """A key that is taken back ends its streams."""
    created = api.post(
        "/v1/keys", json={"tenant": "default", "scopes": ["read"], "name": "k"}
    ).json()
    headers = {"Authorization": f"Bearer {created['secret']}"}
    with open_stream(api, f"/v1/jobs/{submit()}/events", **headers) as stream:
        stream.next("ticks")
        api.delete(f"/v1/keys/{created['id']}")
        stream.read_rest()
    assert api.get("/v1/jobs", headers=headers).status_code == 401
