"""How the client behaves on the wire: what is sent again, when, and what a refusal becomes."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.stub_server import (
    KEY,
    LOST_RESPONSE,
    Rule,
    StubResponse,
    StubServer,
    job_document,
    problem_response,
    running_stub,
)
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
    """A client of a server with prepared answers; `slept` holds its pauses, none of them real."""

    def __init__(self, server: StubServer) -> None:
        self.server = server
        self.slept: list[float] = []
        self.messages: list[str] = []
        self.client = Client(server.url, KEY, sleep=self.slept.append, say=self.messages.append)


@pytest.fixture
def wire() -> Iterator[Callable[[Rule | list[StubResponse]], Wire]]:
    opened: list[Any] = []

    def make(rule: Rule | list[StubResponse]) -> Wire:
        running = running_stub(rule)
        new_wire = Wire(running.__enter__())
        opened.append((new_wire, running))
        return new_wire

    yield make
    for opened_wire, running in opened:
        opened_wire.client.close()
        running.__exit__(None, None, None)


def test_every_request_carries_the_key_and_asks_for_json(wire) -> None:
    there = wire([StubResponse(body=job_document())])
    there.client.job("job_a")
    (request,) = there.server.requests
    assert request.path == "/v1/jobs/job_a"
    assert request.headers["Authorization"] == f"Bearer {KEY}"
    assert request.headers["Accept"] == "application/json"


def test_a_submit_whose_answer_was_lost_is_sent_again_with_the_same_idempotency_key(wire) -> None:
    there = wire([LOST_RESPONSE, LOST_RESPONSE, StubResponse(202, job_document())])
    submitted = there.client.submit(SPEC)
    assert submitted.id == job_document()["id"]
    keys = [request.headers["Idempotency-Key"] for request in there.server.requests]
    assert len(keys) == 3
    assert len(set(keys)) == 1
    assert [request.body for request in there.server.requests] == [SPEC] * 3
    assert there.slept[0] < there.slept[1]
    assert len(there.messages) == 1


def test_each_submit_has_an_idempotency_key_of_its_own(wire) -> None:
    there = wire([StubResponse(202, job_document())])
    there.client.submit(SPEC)
    there.client.submit(SPEC)
    there.client.submit(SPEC, idempotency_key="mine")
    keys = [request.headers["Idempotency-Key"] for request in there.server.requests]
    assert len(set(keys)) == 3
    assert keys[2] == "mine"


def test_a_submit_whose_first_try_is_still_in_work_waits_for_it(wire) -> None:
    there = wire(
        [
            problem_response(409, type="urn:tickforge:problem:in-work"),
            StubResponse(202, job_document()),
        ]
    )
    assert there.client.submit(SPEC).status == "running"


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_busy_server_is_left_alone_as_long_as_it_asks(wire, status: int) -> None:
    there = wire(
        [problem_response(status, {"Retry-After": "7"}), StubResponse(body=job_document())]
    )
    there.client.job("job_a")
    assert there.slept == [7.0]


def test_a_server_that_asks_for_an_hour_is_not_waited_for(wire) -> None:
    there = wire([problem_response(503, {"Retry-After": "3600"}, detail="the store is away")])
    with pytest.raises(ServerError, match="the store is away"):
        there.client.job("job_a")
    assert there.slept == []


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422, 500, 507])
def test_an_error_that_will_not_change_is_not_retried(wire, status: int) -> None:
    there = wire([problem_response(status)])
    with pytest.raises(Exception, match="refused"):
        there.client.job("job_a")
    assert len(there.server.requests) == 1


def test_an_absent_server_is_unreachable_and_the_key_is_not_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with running_stub([StubResponse()]) as gone:
        pass
    monkeypatch.setattr(http, "FIRST_CONTACT_RETRY_SECONDS", 0.5)
    with Client(gone.url, KEY) as client, pytest.raises(Unreachable) as caught:
        client.version()
    assert gone.url in str(caught.value)
    assert KEY not in str(caught.value) + repr(vars(caught.value))


def test_a_delete_whose_answer_was_lost_is_done_when_the_job_is_not_there(wire) -> None:
    there = wire([StubResponse(body=job_document()), LOST_RESPONSE, problem_response(404)])
    there.client.job("job_a").delete()
    assert [request.method for request in there.server.requests] == ["GET", "DELETE", "DELETE"]


def test_a_delete_of_what_was_never_there_is_refused(wire) -> None:
    there = wire([StubResponse(body=job_document()), problem_response(404)])
    with pytest.raises(NotFound):
        there.client.job("job_a").delete()


def test_a_refused_spec_names_field_value_and_rule_of_every_error(wire) -> None:
    errors = [
        {"pointer": "/optimizer/lr", "detail": "at most 10", "value": 99},
        {"pointer": "/budget", "detail": "required"},
    ]
    there = wire([problem_response(422, title="The spec breaks its rules", errors=errors)])
    with pytest.raises(InvalidRequest) as caught:
        there.client.submit(SPEC)
    assert caught.value.status == 422
    assert str(caught.value).splitlines() == [
        "The spec breaks its rules (422)",
        "  /optimizer/lr = 99: at most 10",
        "  /budget: required",
    ]


def test_an_illegal_transition_names_the_allowed_verbs(wire) -> None:
    refusal = problem_response(
        409, detail="cannot pause", job_status="succeeded", allowed=["delete"]
    )
    there = wire([StubResponse(body=job_document()), refusal])
    with pytest.raises(Conflict) as caught:
        there.client.job("job_a").pause()
    assert caught.value.job_status == "succeeded"
    assert caught.value.allowed == ["delete"]


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, NotAuthorized), (403, NotAuthorized), (404, NotFound), (500, ServerError)],
)
def test_a_refusal_that_is_no_problem_body_is_a_problem_too(wire, status, kind) -> None:
    there = wire([StubResponse(status, b"<html>no</html>")])
    with pytest.raises(kind, match=f"({status})"):
        there.client.version()


def test_a_page_that_is_not_json_is_not_taken_for_an_answer(wire) -> None:
    there = wire([StubResponse(200, b"<html>welcome</html>")])
    with pytest.raises(UnexpectedAnswer, match="is it Tickforge"):
        there.client.version()


def test_waiting_polls_with_the_etag_and_slows_down_while_nothing_happens(wire) -> None:
    running, ended = job_document(tick=5), job_document(status="succeeded", tick=10)
    there = wire(
        [
            StubResponse(202, job_document(status="queued", tick=0)),
            StubResponse(200, running, {"ETag": '"one"'}),
            *[StubResponse(304)] * 5,
            StubResponse(200, ended, {"ETag": '"two"'}),
        ]
    )
    *_, last = there.client.submit(SPEC).changes()
    assert last.status == "succeeded"
    assert last.tick == 10
    assert [request.headers["If-None-Match"] for request in there.server.requests[1:]] == [
        None,
        *['"one"'] * 6,
    ]
    assert there.slept[-1] == 1.0


def test_a_wait_ends_with_its_time_and_the_job_goes_on(wire) -> None:
    there = wire([StubResponse(body=job_document())])
    running = there.client.job("job_a")
    with pytest.raises(TimeoutError, match="running"):
        running.wait(timeout=0)


def test_a_list_is_read_page_by_page_to_its_end(wire) -> None:
    there = wire(
        [
            StubResponse(
                body={
                    "data": [job_document(), job_document()],
                    "next_after": "here",
                    "has_more": True,
                }
            ),
            StubResponse(body={"data": [job_document()], "next_after": None, "has_more": False}),
        ]
    )
    assert len(list(there.client.jobs(status=["running", "paused"], label=["team:a"]))) == 3
    first, second = there.server.requests
    assert first.query == {"status": ["running", "paused"], "label": ["team:a"], "limit": ["1000"]}
    assert second.query["after"] == ["here"]
