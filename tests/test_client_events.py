"""Following a job from the client: streams that break, waits that are not held, logs that grow."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.event_frames import parse_sse
from tests.stub_server import (
    KEY,
    ReceivedRequest,
    StubResponse,
    StubServer,
    job_document,
    problem_response,
    running_stub,
)
from tickforge_client import Client, JobTimeout, Unreachable, cli
from tickforge_client.job import Job

ID = job_document()["id"]
SSE = {"Content-Type": "text/event-stream"}


def status(seq: int, name: str) -> str:
    data = {"status": name, "requested": None, "stopped_by": None, "error": None}
    payload = {"seq": seq, "at": "2026-11-24T10:00:00.000Z", "type": "status", "data": data}
    return f"id: {seq}\nevent: status\ndata: {json.dumps(payload)}\n\n"


TICKS = 'event: ticks\ndata: {"tick": 5, "loss": 0.5}\n\n'
COMMENT = ": still here\n\n"


def test_frames_are_read_as_the_standard_says() -> None:
    lines = [": hello", "", "event: a", "data:1", "data: 2", "", "data", "", "id: 3", "", "data: x"]
    assert list(parse_sse(lines)) == [("a", "1\n2"), ("message", "")]


class There:
    """A server with prepared streams, one after another; every other answer is a job."""

    def __init__(self, streams: list[StubResponse], at_last: str | None = "running") -> None:
        self.streams, self.at_last = streams, at_last  # None: the job is not there
        self.slept: list[float] = []

    def rule(self, request: ReceivedRequest) -> StubResponse:
        if request.headers["Accept"] == "text/event-stream":
            return self.streams.pop(0)
        if request.path.endswith("/events"):
            return StubResponse(body={"data": [], "next_after": None, "has_more": False})
        if self.at_last is None:
            return problem_response(404)
        return StubResponse(body=job_document(status=self.at_last))


@pytest.fixture
def follow() -> Iterator[Callable[[There], tuple[list[Any], StubServer]]]:
    def run(there: There) -> tuple[list[Any], StubServer]:
        with (
            running_stub(there.rule) as server,
            Client(server.url, KEY, sleep=there.slept.append) as client,
        ):
            return list(client.job(ID).follow()), server

    yield run


def last_ids(server: StubServer) -> list[str]:
    return [a.headers["Last-Event-ID"] for a in server.requests if "Last-Event-ID" in a.headers]


def test_a_broken_stream_is_resumed(follow) -> None:
    whole = TICKS + status(1, "queued") + status(2, "running")
    rest = TICKS + COMMENT + status(3, "succeeded")
    cut = StubResponse(200, (whole + "x" * 50).encode(), SSE, cut=len(whole))
    there = There(
        [cut, StubResponse(200, whole[:0].encode(), SSE), StubResponse(200, rest.encode(), SSE)]
    )
    events, server = follow(there)
    assert [(event.type, event.seq) for event in events] == [
        ("ticks", None), ("status", 1), ("status", 2), ("ticks", None), ("status", 3),
    ]  # fmt: skip
    assert events[0].data == {"tick": 5, "loss": 0.5}
    assert last_ids(server) == ["0", "2", "2"]
    assert len(there.slept) == 2


@pytest.mark.parametrize("at_last", ["failed", None])
def test_a_followed_job_is_as_it_ended_with_its_last_event(at_last: str | None) -> None:
    """Also one that was deleted since; and one whose events were all known before."""
    stream = (TICKS + status(1, "queued") + status(2, "failed")).encode()
    there = There([StubResponse(200, stream, SSE)] * 2)
    with running_stub(there.rule) as server, Client(server.url, KEY) as client:
        job = client.job(ID)
        there.at_last = at_last
        assert [(event.type, job.status) for event in job.follow()] == [
            ("ticks", "running"), ("status", "running"), ("status", "failed"),
        ]  # fmt: skip
        assert job.ended
        there.streams, there.at_last = [StubResponse(200, b"", SSE)], "failed"
        known = Job(client.session, job_document())
        assert list(known.follow(after=2)) == [] and known.status == "failed"


def test_a_full_server_is_tried_again_after_its_retry_after(follow) -> None:
    full = problem_response(503, {"Retry-After": "2"})
    there = There([full, StubResponse(200, status(1, "cancelled").encode(), SSE)])
    events, _ = follow(there)
    assert events[-1].ends and there.slept == [pytest.approx(2, abs=0.5)]


def test_an_ended_job_whose_events_are_known_is_not_followed_for_ever(follow) -> None:
    events, _ = follow(There([StubResponse(200, TICKS.encode(), SSE)], at_last="succeeded"))
    assert [event.type for event in events] == ["ticks"]


def test_empty_streams_are_given_up(follow, monkeypatch) -> None:
    monkeypatch.setattr("tickforge_client.http.RETRY_SECONDS", 0.0)
    with pytest.raises(Unreachable, match="ended the stream"):
        follow(There([StubResponse(200, b"", SSE)] * 2))


def test_quiet_streams_that_lasted_are_followed_by_new_ones_for_ever(follow, monkeypatch) -> None:
    """Of a job that waits for days; a proxy cuts each stream after some quiet minutes."""
    monkeypatch.setattr("tickforge_client.http.RETRY_SECONDS", 0.25)  # one pause, not two
    quiet = [StubResponse(200, COMMENT.encode(), SSE)] * 5
    there = There([*quiet, StubResponse(200, status(1, "cancelled").encode(), SSE)])
    events, _ = follow(there)
    assert events[-1].ends and max(there.slept) <= 0.2


def test_waiting_for_the_end_is_one_request_until_its_time_is_over() -> None:
    slept: list[float] = []
    responses = [
        StubResponse(body=job_document()),
        StubResponse(body=job_document(), headers={"Retry-After": "2"}),  # no place to wait
        StubResponse(body=job_document()),
        StubResponse(body=job_document(status="failed")),
    ]
    with running_stub(responses) as server, Client(server.url, KEY, sleep=slept.append) as client:
        assert client.job(ID).wait().status == "failed"
    waits = [request.query for request in server.requests[1:]]
    assert [request["until"] for request in waits] == [["end"]] * 3
    assert float(waits[0]["wait"][0]) == 20.0
    assert slept[0] == 2.0 and slept[1] < 1


def test_a_wait_is_no_longer_than_its_time() -> None:
    with (
        running_stub([StubResponse(body=job_document())]) as server,
        Client(server.url, KEY) as client,
    ):
        followed = client.job(ID)
        with pytest.raises(JobTimeout):
            followed.wait(0.2)
    assert all(float(request.query["wait"][0]) <= 0.2 for request in server.requests[1:])


def test_changes_are_waited_for_once_there_is_a_tag() -> None:
    responses = [
        StubResponse(body=job_document()),
        StubResponse(body=job_document(), headers={"ETag": '"one"'}),
        StubResponse(body=job_document(tick=2000), headers={"ETag": '"two"'}),
        StubResponse(body=job_document(status="succeeded"), headers={"ETag": '"three"'}),
    ]
    with running_stub(responses) as server, Client(server.url, KEY) as client:
        ticks = [item.tick for item in Job.changes(client.job(ID))]
    assert ticks == [1234, 1234, 2000, 1234]
    assert ["wait" in item.query for item in server.requests] == [False, False, True, True]


def log(text: str, after: int, complete: bool) -> StubResponse:
    headers = {"X-Next-After": str(after + len(text)), "X-Complete": str(complete).lower()}
    return StubResponse(200, text.encode(), {"Content-Type": "text/plain", **headers})


def test_a_log_is_followed_to_its_end(monkeypatch, capfdbinary) -> None:
    responses = [log("one\n", 0, False), log("", 4, False), log("two\n", 4, True)]
    monkeypatch.setattr("tickforge_client.logs.POLL_SECONDS", 0.0)
    with running_stub(responses) as server:
        code = cli.main(["logs", ID, "--follow", "--url", server.url, "--key", KEY])
    assert (code, capfdbinary.readouterr().out) == (0, b"one\ntwo\n")
    assert [request.query["after"] for request in server.requests] == [["0"], ["4"], ["4"]]


def test_the_command_lists_events_a_line_each(capsys) -> None:
    events = [
        {"type": "status", "data": {"status": "running", "requested": "stop", "error": None}},
        {"type": "validation", "data": {"tick": 1000, "metrics": {"val_loss": 0.25}}},
        {"type": "condition", "data": {"condition": "loss<0.1", "tick": 9, "value": 0.0625}},
        {"type": "checkpoint", "data": {"tick": 1000, "is_best": True, "is_final": False}},
        {"type": "log", "data": {"level": "warning", "message": "a\x1b[2Jb"}},
        {"type": "status", "data": {"status": "failed", "error": {"type": "t", "detail": "d"}}},
    ]
    data = [{"seq": n, "at": "now", **event} for n, event in enumerate(events, 1)]
    page = StubResponse(body={"data": data, "next_after": None, "has_more": False})
    with running_stub([page]) as server:
        assert cli.main(["events", ID, "--url", server.url, "--key", KEY]) == 0
    assert [line.split("  ", 3)[-1].strip() for line in capsys.readouterr().out.splitlines()] == [
        "status      running  requested stop",
        "validation  tick 1,000  val_loss 0.25",
        "condition   tick 9  loss<0.1: 0.0625",
        "checkpoint  tick 1,000  is_best",
        "log         warning  a�[2Jb",
        "status      failed  t: d",
    ]


def test_the_command_that_follows_a_job_to_its_end_prints_the_outcome(capsys) -> None:
    stream = StubResponse(200, (TICKS + status(1, "failed")).encode(), SSE)
    there = There([stream], at_last="failed")
    with running_stub(there.rule) as server:
        arguments = ["events", ID, "--follow", "--json", "--url", server.url, "--key", KEY]
        assert cli.main(arguments) == 1
    assert [json.loads(line)["seq"] for line in capsys.readouterr().out.splitlines()] == [1]
