"""What the client is given wrongly is one clear error, whatever it knows of the job by then."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from tests.stub_server import (
    KEY,
    ReceivedRequest,
    StubResponse,
    job_document,
    problem_response,
    running_stub,
)
from tickforge_client import (
    AsyncClient,
    Client,
    InvalidInput,
    InvalidRequest,
    Job,
    JobTimeout,
    TickforgeError,
    cli,
)

GONE, LIVE = "job_" + "b" * 26, "job_" + "c" * 26
EVENTS = {
    "Content-Disposition": f'attachment; filename="events.out.tfevents.1.{LIVE}"',
    "X-Last-Tick": "7", "X-Complete": "true", "ETag": '"one"',
}  # fmt: skip
#: what follows the ids of every command that takes several jobs
REST = {"watch": [], "export": ["DIR", "--to", "tensorboard"]}
STATUSES = "running", "succeeded"


def answer(request: ReceivedRequest) -> StubResponse:
    """Answer as the API: a condition is checked whatever the job's status is."""
    if request.query.get("until", ["end"])[0] not in ("end", "tick:5", "loss<1"):
        return problem_response(400, title="Invalid parameter")
    status = request.path.rpartition("/")[2]
    return StubResponse(body=job_document(id=status, status=status))


def of_both_clients(status: str, call: Callable[[Any], Any]) -> list[tuple[type, str, list[str]]]:
    """Make a call of a job with each client; give its errors, and what was then sent."""
    outcomes = []
    with running_stub(answer) as server:

        async def call_async() -> None:
            async with AsyncClient(server.url, KEY) as client:
                job = await client.job(status)
                server.requests.clear()
                await call(job)

        def call_blocking() -> None:
            with Client(server.url, KEY) as client:
                job = client.job(status)
                server.requests.clear()
                call(job)

        for run in (lambda: asyncio.run(call_async()), call_blocking):
            with pytest.raises(TickforgeError) as caught:
                run()
            sent = [request.query.get("until", [""])[0] for request in server.requests]
            outcomes.append((type(caught.value), str(caught.value), sent))
    return outcomes


CONDITION = '/until = {}: a text, such as "end"'
SECONDS = "/timeout = {}: a number of seconds, or None"
WRONG: dict[str, tuple[Callable[[Any], Any], str]] = {
    "until a number": (lambda job: job.wait(until=5), CONDITION.format(5)),
    "until nothing": (lambda job: job.wait(until=""), CONDITION.format('""')),
    "until None": (lambda job: job.wait(until=None), CONDITION.format("null")),
    "a condition as time": (lambda job: job.wait("loss<1"), SECONDS.format('"loss<1"')),
    "a time that is none": (lambda job: job.wait(float("nan")), SECONDS.format("NaN")),
    "another tracker": (
        lambda job: job.export("unused", "mlflow"), '/to = "mlflow": tensorboard or wandb',
    ),
    "another form": (lambda job: job.curve("jpg"), '/form = "jpg": svg, png or txt'),
    "no form": (lambda job: job.curve(None), "/form = null: svg, png or txt"),
    "no checkpoint": (lambda job: job.checkpoint(""), '/v1/jobs/{}/checkpoints/… = "": an id'),
    "dots": (lambda job: job.checkpoint(".."), '/v1/jobs/{}/checkpoints/… = "..": an id'),
}  # fmt: skip


@pytest.mark.parametrize("status", STATUSES)
def test_a_wrong_argument_is_named_before_anything_is_sent(status: str) -> None:
    for name, (call, words) in WRONG.items():
        for kind, message, sent in of_both_clients(status, call):
            assert (kind, sent) == (InvalidInput, []), name
            assert words.replace("{}", status) in message, name


@pytest.mark.parametrize("status", STATUSES)
def test_a_condition_is_checked_by_the_server_also_where_the_job_has_ended(status: str) -> None:
    for kind, _, sent in of_both_clients(status, lambda job: job.wait(0, until="nope<1")):
        assert (kind, sent) == (InvalidRequest, ["nope<1"])


def test_an_ended_job_is_waited_for_without_a_request_and_its_condition_with_one() -> None:
    with running_stub(answer) as server, Client(server.url, KEY) as client:
        ended = client.job("succeeded")
        assert ended.wait().ended and len(server.requests) == 1
        assert ended.wait(until="loss<1").ended and len(server.requests) == 2
        with pytest.raises(JobTimeout):
            client.job("running").wait(-1)


def test_an_id_that_would_be_another_path_is_refused() -> None:
    with Client("http://127.0.0.1:9", KEY) as client:
        calls: list[Callable[[Any], Any]] = [
            client.job, client.dataset, client.tenant, client.delete_key, client.delete_webhook,
        ]  # fmt: skip
        for call in calls:
            for name in ("", ".", "..", None):
                with pytest.raises(InvalidInput, match="neither empty nor dots"):
                    call(name)
        with pytest.raises(InvalidInput):
            Job(client.session, {"id": ""})


def commands_of_several(group: click.Group = cli.tickforge, words: str = "") -> list[str]:
    """Return the commands, with those of their groups, that take any number of ids."""
    names = []
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            names += commands_of_several(command, f"{words}{name} ")
        elif any(isinstance(one, click.Argument) and one.nargs == -1 for one in command.params):
            names.append(words + name)
    return names


def of_two_jobs(request: ReceivedRequest) -> StubResponse:
    if GONE in request.path:
        return problem_response(404, title="No such job")
    if "/export/" in request.path:
        return StubResponse(200, b"events", EVENTS)
    return StubResponse(body=job_document(id=LIVE, status="succeeded"))


@pytest.mark.parametrize("command", commands_of_several())
def test_a_job_that_is_missing_among_several_is_named_and_the_others_are_served(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rest = [str(tmp_path) if word == "DIR" else word for word in REST[command]]
    with running_stub(of_two_jobs) as server:
        options = ["--url", server.url, "--key", KEY]
        assert cli.main([command, GONE, LIVE, *rest, *options]) == 2
        shown = capsys.readouterr()
        assert shown.err.splitlines() == [f"tickforge: {GONE}: No such job (404)"]
        assert LIVE in shown.out and GONE not in shown.out
        assert cli.main([command, GONE, LIVE, *rest, *options, "--json"]) == 2
        shown = capsys.readouterr()
        assert json.loads(shown.err)["job_id"] == GONE
        (row,) = json.loads(shown.out)
        assert LIVE in (row.get("id"), row.get("job_id"))
        assert cli.main([command, GONE, *rest, *options]) == 2
        assert f"{GONE}: No such job" in capsys.readouterr().err


def test_a_refused_key_ends_a_command_of_several_jobs_at_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with running_stub([problem_response(401, title="Unknown key")]) as server:
        assert cli.main(["watch", GONE, LIVE, "--url", server.url, "--key", KEY]) == 2
    assert len(server.requests) == 1
    assert capsys.readouterr().err == f"tickforge: {GONE}: Unknown key (401)\n"
