"""Following a job from the client: streams that break, waits that are not held, logs that grow."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.client_server import KEY, Answer, Asked, Server, answering, job, problem
from tickforge_client import Client, JobTimeout, Unreachable, cli
from tickforge_client.events import parse_sse
from tickforge_client.job import Job

ID = job()["id"]
SSE = {"Content-Type": "text/event-stream"}


def status(seq: int, name: str) -> str:
    data = {"status": name, "requested": None, "stopped_by": None, "error": None}
    told = {"seq": seq, "at": "2026-11-24T10:00:00.000Z", "type": "status", "data": data}
    return f"id: {seq}\nevent: status\ndata: {json.dumps(told)}\n\n"


TICKS = 'event: ticks\ndata: {"tick": 5, "loss": 0.5}\n\n'
COMMENT = ": still here\n\n"


def test_frames_are_read_as_the_standard_says() -> None:
    lines = [": hello", "", "event: a", "data:1", "data: 2", "", "data", "", "id: 3", "", "data: x"]
    assert list(parse_sse(lines)) == [("a", "1\n2"), ("message", "")]


class There:
    """A server whose streams come in turn; everything else is told by a job."""

    def __init__(self, streams: list[Answer], at_last: str = "running") -> None:
        self.streams, self.at_last = streams, at_last
        self.slept: list[float] = []

    def rule(self, asked: Asked) -> Answer:
        if asked.headers["Accept"] == "text/event-stream":
            return self.streams.pop(0)
        if asked.path.endswith("/events"):
            return Answer(body={"data": [], "next_after": None, "has_more": False})
        return Answer(body=job(status=self.at_last))


@pytest.fixture
def follow() -> Iterator[Callable[[There], tuple[list[Any], Server]]]:
    def run(there: There) -> tuple[list[Any], Server]:
        with (
            answering(there.rule) as server,
            Client(server.url, KEY, sleep=there.slept.append) as client,
        ):
            return list(client.job(ID).follow()), server

    yield run


def last_ids(server: Server) -> list[str]:
    return [a.headers["Last-Event-ID"] for a in server.asked if "Last-Event-ID" in a.headers]


def test_a_stream_that_breaks_is_gone_on_with(follow) -> None:
    whole = TICKS + status(1, "queued") + status(2, "running")
    rest = TICKS + COMMENT + status(3, "succeeded")
    cut = Answer(200, (whole + "x" * 50).encode(), SSE, cut=len(whole))
    there = There([cut, Answer(200, whole[:0].encode(), SSE), Answer(200, rest.encode(), SSE)])
    events, server = follow(there)
    assert [(each.type, each.seq) for each in events] == [
        ("ticks", None), ("status", 1), ("status", 2), ("ticks", None), ("status", 3),
    ]  # fmt: skip
    assert events[0].data == {"tick": 5, "loss": 0.5}
    assert last_ids(server) == ["0", "2", "2"]
    assert len(there.slept) == 2


def test_a_full_server_is_tried_again_when_it_says(follow) -> None:
    full = problem(503, {"Retry-After": "2"})
    there = There([full, Answer(200, status(1, "cancelled").encode(), SSE)])
    events, _ = follow(there)
    assert events[-1].ends and there.slept == [pytest.approx(2, abs=0.5)]


def test_an_ended_job_whose_events_are_known_is_not_followed_for_ever(follow) -> None:
    events, _ = follow(There([Answer(200, TICKS.encode(), SSE)], at_last="succeeded"))
    assert [each.type for each in events] == ["ticks"]


def test_streams_that_tell_nothing_are_given_up(follow, monkeypatch) -> None:
    monkeypatch.setattr("tickforge_client.http.RETRY_SECONDS", 0.0)
    with pytest.raises(Unreachable, match="ended the stream"):
        follow(There([Answer(200, b"", SSE)] * 2))


def test_waiting_for_the_end_is_one_request_while_nothing_ends_it() -> None:
    slept: list[float] = []
    told = [
        Answer(body=job()),
        Answer(body=job(), headers={"Retry-After": "2"}),  # no place to wait
        Answer(body=job()),
        Answer(body=job(status="failed")),
    ]
    with answering(told) as server, Client(server.url, KEY, sleep=slept.append) as client:
        assert client.job(ID).wait().status == "failed"
    waits = [each.query for each in server.asked[1:]]
    assert [each["until"] for each in waits] == [["end"]] * 3
    assert float(waits[0]["wait"][0]) == 20.0
    assert slept[0] == 2.0 and slept[1] < 1


def test_a_wait_is_no_longer_than_its_time() -> None:
    with answering([Answer(body=job())]) as server, Client(server.url, KEY) as client:
        found = client.job(ID)
        with pytest.raises(JobTimeout):
            found.wait(0.2)
    assert all(float(each.query["wait"][0]) <= 0.2 for each in server.asked[1:])


def test_changes_are_waited_for_once_there_is_a_tag() -> None:
    told = [
        Answer(body=job()),
        Answer(body=job(), headers={"ETag": '"one"'}),
        Answer(body=job(tick=2000), headers={"ETag": '"two"'}),
        Answer(body=job(status="succeeded"), headers={"ETag": '"three"'}),
    ]
    with answering(told) as server, Client(server.url, KEY) as client:
        ticks = [each.tick for each in Job.changes(client.job(ID))]
    assert ticks == [1234, 1234, 2000, 1234]
    assert ["wait" in each.query for each in server.asked] == [False, False, True, True]


def log(text: str, after: int, complete: bool) -> Answer:
    headers = {"X-Next-After": str(after + len(text)), "X-Complete": str(complete).lower()}
    return Answer(200, text.encode(), {"Content-Type": "text/plain", **headers})


def test_a_log_is_followed_to_its_end(monkeypatch, capfdbinary) -> None:
    told = [log("one\n", 0, False), log("", 4, False), log("two\n", 4, True)]
    monkeypatch.setattr("tickforge_client.logs.POLL_SECONDS", 0.0)
    with answering(told) as server:
        code = cli.main(["logs", ID, "--follow", "--url", server.url, "--key", KEY])
    assert (code, capfdbinary.readouterr().out) == (0, b"one\ntwo\n")
    assert [each.query["after"] for each in server.asked] == [["0"], ["4"], ["4"]]


def test_the_command_lists_events_a_line_each(capsys) -> None:
    found = [
        {"type": "status", "data": {"status": "running", "requested": "stop", "error": None}},
        {"type": "validation", "data": {"tick": 1000, "metrics": {"val_loss": 0.25}}},
        {"type": "checkpoint", "data": {"tick": 1000, "is_best": True, "is_final": False}},
        {"type": "log", "data": {"level": "warning", "message": "a\x1b[2Jb"}},
        {"type": "status", "data": {"status": "failed", "error": {"type": "t", "detail": "d"}}},
    ]
    data = [{"seq": n, "at": "now", **each} for n, each in enumerate(found, 1)]
    page = Answer(body={"data": data, "next_after": None, "has_more": False})
    with answering([page]) as server:
        assert cli.main(["events", ID, "--url", server.url, "--key", KEY]) == 0
    assert [line.split("  ", 3)[-1].strip() for line in capsys.readouterr().out.splitlines()] == [
        "status      running  requested stop",
        "validation  tick 1,000  val_loss 0.25",
        "checkpoint  tick 1,000  is_best",
        "log         warning  a�[2Jb",
        "status      failed  t: d",
    ]


def test_followed_to_its_end_the_command_tells_the_outcome(capsys) -> None:
    stream = Answer(200, (TICKS + status(1, "failed")).encode(), SSE)
    there = There([stream], at_last="failed")
    with answering(there.rule) as server:
        asked = ["events", ID, "--follow", "--json", "--url", server.url, "--key", KEY]
        assert cli.main(asked) == 1
    assert [json.loads(line)["seq"] for line in capsys.readouterr().out.splitlines()] == [1]
