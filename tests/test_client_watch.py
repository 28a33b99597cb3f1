"""Watching several jobs: which ones, what is shown where, and the outcome of all as one."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.stub_server import (
    KEY,
    LOST_RESPONSE,
    ReceivedRequest,
    StubResponse,
    StubServer,
    job_document,
    problem_response,
    running_stub,
)
from tests.terminals import on_a_terminal
from tickforge_client import Client, cli, watched_jobs
from tickforge_client.formatting import skipped_text
from tickforge_client.sparklines import sparkline
from tickforge_client.watched_jobs import WatchedJob

A, B, C = (f"job_{letter * 26}" for letter in "abc")
GONE = problem_response(404, title="No such job")
Answers = dict[str, list[dict[str, Any] | StubResponse]]
Serve = Callable[[Answers], StubServer]


def documents(job_id: str, *changes: dict[str, Any]) -> list[dict[str, Any] | StubResponse]:
    return [job_document(id=job_id, name=f"name-{job_id[4]}", **change) for change in changes]


RUNNING, DONE = {"tick": 5}, {"status": "succeeded", "tick": 10_000}
FAILED = {"status": "failed", "error": {"type": "nonfinite", "detail": "loss is nan", "tick": 7}}


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Serve each job's answers one after another, the last one for good; lists have them all."""
    monkeypatch.setattr(watched_jobs, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(watched_jobs, "MAX_REQUESTS_PER_SECOND", 1e9)

    def start(answers: Answers) -> StubServer:
        counts: dict[str, int] = defaultdict(int)

        def rule(request: ReceivedRequest) -> StubResponse:
            job_id = request.path.split("/")[3] if request.path != "/v1/jobs" else ""
            if not job_id:
                data = [items[0] for items in answers.values()]
                return StubResponse(body={"data": data, "next_after": None, "has_more": False})
            if request.path.endswith("history"):
                view = {"mean": [8.0, 4.0, None, 1.0], "tick_first": [1, 2, 3, 4]}
                return StubResponse(body={"loss": view})
            counts[job_id] += 1
            answer = answers[job_id][min(counts[job_id], len(answers[job_id])) - 1]
            return answer if isinstance(answer, StubResponse) else StubResponse(body=answer)

        server = stack.enter_context(running_stub(rule))
        monkeypatch.setenv("TICKFORGE_URL", server.url)
        monkeypatch.setenv("TICKFORGE_KEY", KEY)
        return server

    with ExitStack() as stack:
        yield start


@pytest.mark.parametrize(
    ("of_b", "of_c", "code"),
    [([RUNNING, DONE], [DONE], 0), ([RUNNING, FAILED], [DONE], 1), ([FAILED], [RUNNING], 2)],
)
def test_several_jobs_are_watched_until_the_last_is_over_and_the_worst_is_the_exit_code(
    serve: Serve, of_b: list[Any], of_c: list[Any], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    last_of_c = [GONE] if of_c == [RUNNING] else []
    server = serve(
        {
            A: [*documents(A, RUNNING), LOST_RESPONSE, *documents(A, RUNNING, RUNNING, DONE)],
            B: documents(B, *of_b),
            C: [*documents(C, *of_c), *last_of_c],
        }
    )
    assert cli.main(["watch", A, B, A, C]) == code
    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    assert f"{A}  name-a  running  tick 5/10,000  loss 0.123  5,321 ticks/s  ETA 1.6 s" in lines
    table = {line.split()[0]: line.split(maxsplit=3) for line in lines[-3:]}
    assert table[A][2] == "succeeded" and [*table] == [A, B, C]
    assert table[C][2] == ("deleted" if last_of_c else "succeeded")
    assert ("nonfinite: loss is nan" in shown.out) == (code > 0)
    assert (f"{C} was deleted; it was last seen running" in shown.err) == bool(last_of_c)
    held = [request for request in server.requests if "wait" in request.query]
    assert not held, "a watch of several holds no place for waits"


def test_jobs_are_selected_once_by_status_and_label_and_json_is_a_list_of_them(
    serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    server = serve({A: documents(A, RUNNING, DONE), B: documents(B, DONE)})
    assert cli.main(["watch", "--all", "--json"]) == 0
    jobs = json.loads(capsys.readouterr().out)
    assert [(job["id"], job["status"]) for job in jobs] == [(A, "succeeded"), (B, "succeeded")]
    assert server.requests[0].query["status"] == ["paused", "queued", "running"]
    assert cli.main(["watch", B, "--label", "sweep:7", "--status", "failed", "--json"]) == 0
    assert [job["id"] for job in json.loads(capsys.readouterr().out)] == [B, A]
    listed = next(request for request in server.requests if "label" in request.query)
    assert (listed.query["label"], listed.query["status"]) == (["sweep:7"], ["failed"])


def test_a_selection_of_nothing_is_wrong_usage_but_for_all_that_runs(serve: Serve) -> None:
    serve({})
    assert cli.main(["watch", "--all"]) == 0
    for nothing in (["watch"], ["watch", "--label", "a:b"], ["watch", "--status", "failed"]):
        assert cli.main(nothing) == 2


def test_more_jobs_than_are_watched_at_once_are_refused(
    serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    many = [f"job_{number:026}" for number in range(201)]
    serve({job_id: documents(job_id, RUNNING) for job_id in many})
    assert cli.main(["watch", "--all"]) == 2
    assert "more than 200 jobs match" in capsys.readouterr().err


def test_an_interrupted_watch_says_that_the_jobs_go_on(
    serve: Serve, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    serve({A: documents(A, RUNNING), B: documents(B, RUNNING)})
    monkeypatch.setattr(watched_jobs.time, "sleep", interrupt)
    assert cli.main(["watch", A, B]) == 130
    assert "the jobs go on" in capsys.readouterr().err


def test_a_terminal_shows_a_line_a_job_with_its_curve_and_counts_those_without_a_place(
    serve: Serve,
) -> None:
    running = [f"job_{number:026}" for number in range(14)]
    serve({A: documents(A, DONE)} | {one: documents(one, RUNNING, DONE) for one in running})
    environ = {"LINES": "12", "PYTHONIOENCODING": "utf-8"}
    code, output = on_a_terminal("watch", A, running[0], **environ)
    assert code == 0, output
    assert "    5,321      1.6 s      0.123" in output and "100%" in output and "━" in output
    assert "█▄ ▁" in output
    code, output = on_a_terminal("watch", "--all", **environ)
    assert "and 6 more: 5 running, 1 succeeded" in output, output


def test_a_job_whose_history_is_damaged_is_shown_without_its_curve_and_ends_no_watch() -> None:
    damaged = problem_response(500, type="urn:tickforge:problem:damaged")

    def rule(request: ReceivedRequest) -> StubResponse:
        is_history = request.path.endswith("history")
        return damaged if is_history else StubResponse(body=job_document(**DONE, kind="train"))

    with running_stub(rule) as server, Client(server.url, KEY) as client:
        watched = [WatchedJob(client.job(A)), WatchedJob(client.job(B))]
        shown = list(watched_jobs.follow(watched, with_losses=True))
    assert shown == watched and [one.losses for one in shown] == [[], []]


def test_a_small_curve_has_a_character_a_value_and_the_scale_of_the_servers_curves() -> None:
    assert sparkline([0.0, 1.0, 2.0, None, float("nan")], "utf-8") == "▁▅█  "
    assert sparkline([100.0, 10.0, 1.0], "ascii") == "#=_"
    assert sparkline([3.0, 3.0], None) == "__"
    assert sparkline([None], "utf-8") == ""


def test_skipped_ticks_are_shown_where_there_are_some_and_a_server_counts_them() -> None:
    assert skipped_text({"skipped": 1297}) == "1,297 ticks skipped"
    assert [skipped_text(job) for job in ({"skipped": 0}, {"skipped": None}, {})] == [""] * 3
