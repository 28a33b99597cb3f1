"""How the client behaves on the wire: what is sent again, when, and what a refusal becomes."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.client_server import KEY, LOST, Answer, Rule, Server, answering, job, problem
from tickforge_client import (
    Client,
    Conflict,
    InvalidRequest,
    NotAuthorized,
    NotFound,
    ServerError,
    UnexpectedAnswer,
    Unreachable,
    http,
)

SPEC = {"model": {"family": "mlp"}}


class Wire:
    """A client of a server that answers as told; `slept` holds its pauses, none of them real."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.slept: list[float] = []
        self.said: list[str] = []
        self.client = Client(server.url, KEY, sleep=self.slept.append, say=self.said.append)


@pytest.fixture
def wire() -> Iterator[Callable[[Rule | list[Answer]], Wire]]:
    opened: list[Any] = []

    def make(rule: Rule | list[Answer]) -> Wire:
        running = answering(rule)
        made = Wire(running.__enter__())
        opened.append((made, running))
        return made

    yield make
    for made, running in opened:
        made.client.close()
        running.__exit__(None, None, None)


def test_every_request_carries_the_key_and_asks_for_json(wire) -> None:
    there = wire([Answer(body=job())])
    there.client.job("job_a")
    (asked,) = there.server.asked
    assert asked.path == "/v1/jobs/job_a"
    assert asked.headers["Authorization"] == f"Bearer {KEY}"
    assert asked.headers["Accept"] == "application/json"


def test_a_submit_whose_answer_was_lost_is_sent_again_with_the_same_idempotency_key(wire) -> None:
    there = wire([LOST, LOST, Answer(202, job())])
    made = there.client.submit(SPEC)
    assert made.id == job()["id"]
    keys = [asked.headers["Idempotency-Key"] for asked in there.server.asked]
    assert len(keys) == 3
    assert len(set(keys)) == 1
    assert [asked.body for asked in there.server.asked] == [SPEC] * 3
    assert there.slept[0] < there.slept[1]
    assert len(there.said) == 1


def test_each_submit_has_an_idempotency_key_of_its_own(wire) -> None:
    there = wire([Answer(202, job())])
    there.client.submit(SPEC)
    there.client.submit(SPEC)
    there.client.submit(SPEC, idempotency_key="mine")
    keys = [asked.headers["Idempotency-Key"] for asked in there.server.asked]
    assert len(set(keys)) == 3
    assert keys[2] == "mine"


def test_a_submit_whose_first_try_is_still_in_work_waits_for_it(wire) -> None:
    there = wire([problem(409, type="urn:tickforge:problem:in-work"), Answer(202, job())])
    assert there.client.submit(SPEC).status == "running"


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_busy_server_is_left_alone_as_long_as_it_asks(wire, status: int) -> None:
    there = wire([problem(status, {"Retry-After": "7"}), Answer(body=job())])
    there.client.job("job_a")
    assert there.slept == [7.0]


def test_a_server_that_asks_for_an_hour_is_not_waited_for(wire) -> None:
    there = wire([problem(503, {"Retry-After": "3600"}, detail="the store is away")])
    with pytest.raises(ServerError, match="the store is away"):
        there.client.job("job_a")
    assert there.slept == []


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422, 500, 507])
def test_what_will_not_change_is_asked_once(wire, status: int) -> None:
    there = wire([problem(status)])
    with pytest.raises(Exception, match="refused"):
        there.client.job("job_a")
    assert len(there.server.asked) == 1


def test_nobody_there_is_unreachable_and_the_key_is_not_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with answering([Answer()]) as gone:
        pass
    monkeypatch.setattr(http, "FIRST_CONTACT_RETRY_SECONDS", 0.5)
    with Client(gone.url, KEY) as client, pytest.raises(Unreachable) as caught:
        client.version()
    assert gone.url in str(caught.value)
    assert KEY not in str(caught.value) + repr(vars(caught.value))


def test_a_delete_whose_answer_was_lost_is_done_when_the_job_is_not_there(wire) -> None:
    there = wire([Answer(body=job()), LOST, problem(404)])
    there.client.job("job_a").delete()
    assert [asked.method for asked in there.server.asked] == ["GET", "DELETE", "DELETE"]


def test_a_delete_of_what_was_never_there_is_refused(wire) -> None:
    there = wire([Answer(body=job()), problem(404)])
    with pytest.raises(NotFound):
        there.client.job("job_a").delete()


def test_a_refused_spec_says_field_value_and_rule_of_every_fault(wire) -> None:
    errors = [
        {"pointer": "/optimizer/lr", "detail": "at most 10", "value": 99},
        {"pointer": "/budget", "detail": "required"},
    ]
    there = wire([problem(422, title="The spec breaks its rules", errors=errors)])
    with pytest.raises(InvalidRequest) as caught:
        there.client.submit(SPEC)
    assert caught.value.status == 422
    assert str(caught.value).splitlines() == [
        "The spec breaks its rules (422)",
        "  /optimizer/lr = 99: at most 10",
        "  /budget: required",
    ]


def test_an_illegal_move_says_what_is_possible(wire) -> None:
    refusal = problem(409, detail="cannot pause", job_status="succeeded", allowed=["delete"])
    there = wire([Answer(body=job()), refusal])
    with pytest.raises(Conflict) as caught:
        there.client.job("job_a").pause()
    assert caught.value.job_status == "succeeded"
    assert caught.value.allowed == ["delete"]


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, NotAuthorized), (403, NotAuthorized), (404, NotFound), (500, ServerError)],
)
def test_a_refusal_that_is_no_problem_body_is_a_problem_too(wire, status, kind) -> None:
    there = wire([Answer(status, b"<html>no</html>")])
    with pytest.raises(kind, match=f"({status})"):
        there.client.version()


def test_a_page_that_is_not_json_is_not_taken_for_an_answer(wire) -> None:
    there = wire([Answer(200, b"<html>welcome</html>")])
    with pytest.raises(UnexpectedAnswer, match="is it Tickforge"):
        there.client.version()


def test_waiting_polls_with_the_etag_and_slows_down_while_nothing_happens(wire) -> None:
    running, ended = job(tick=5), job(status="succeeded", tick=10)
    there = wire(
        [
            Answer(202, job(status="queued", tick=0)),
            Answer(200, running, {"ETag": '"one"'}),
            *[Answer(304)] * 5,
            Answer(200, ended, {"ETag": '"two"'}),
        ]
    )
    *_, made = there.client.submit(SPEC).changes()
    assert made.status == "succeeded"
    assert made.tick == 10
    assert [asked.headers["If-None-Match"] for asked in there.server.asked[1:]] == [
        None,
        *['"one"'] * 6,
    ]
    assert there.slept[-1] == 1.0


def test_a_wait_ends_with_its_time_and_the_job_goes_on(wire) -> None:
    there = wire([Answer(body=job())])
    running = there.client.job("job_a")
    with pytest.raises(TimeoutError, match="running"):
        running.wait(timeout=0)


def test_a_list_is_read_page_by_page_to_its_end(wire) -> None:
    there = wire(
        [
            Answer(body={"data": [job(), job()], "next_after": "here", "has_more": True}),
            Answer(body={"data": [job()], "next_after": None, "has_more": False}),
        ]
    )
    assert len(list(there.client.jobs(status=["running", "paused"], label=["team:a"]))) == 3
    first, second = there.server.asked
    assert first.query == {"status": ["running", "paused"], "label": ["team:a"], "limit": ["1000"]}
    assert second.query["after"] == ["here"]
