"""The command `tickforge`: exit codes, what it prints and where, for whom."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.stub_server import (
    KEY,
    Rule,
    StubResponse,
    StubServer,
    job_document,
    problem_response,
    running_stub,
)
from tests.terminals import on_a_terminal
from tickforge_client import Client, cli, http

JOB = job_document()["id"]
Serve = Callable[[Rule | list[StubResponse]], StubServer]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Start a server that the environment names, as a user would."""
    running: list[Any] = []

    def start(rule: Rule | list[StubResponse]) -> StubServer:
        running.append(running_stub(rule))
        server: StubServer = running[-1].__enter__()
        monkeypatch.setenv("TICKFORGE_URL", server.url)
        monkeypatch.setenv("TICKFORGE_KEY", KEY)
        return server

    yield start
    for stub in running:
        stub.__exit__(None, None, None)


@pytest.fixture
def spec(tmp_path: Path) -> str:
    path = tmp_path / "spec.json"
    path.write_text('{"model": {"family": "mlp"}, "name": "old", "labels": {"a": "1"}}')
    return str(path)


DIFFERENCE = {
    "tick": 7,
    "column": "loss",
    "recorded": {"bits": "3f800000"},
    "recomputed": {"bits": "00000000"},
}
ENDINGS = [("succeeded", 0), ("failed", 1), ("cancelled", 1)]


@pytest.mark.parametrize(("status", "code"), ENDINGS)
@pytest.mark.parametrize("command", ["watch", "status"])
def test_the_exit_code_is_the_jobs_outcome(
    serve: Serve, command: str, status: str, code: int
) -> None:
    serve([StubResponse(body=job_document(status=status))])
    assert cli.main([command, JOB]) == code


@pytest.mark.parametrize("metrics", [{"metrics": {"val_auc": 0.75, "val_loss": None}}, {}])
def test_status_shows_the_best_with_the_metrics_beside_it(
    serve: Serve, capsys: pytest.CaptureFixture[str], metrics: dict[str, Any]
) -> None:
    best = {"metric": "val_auc", "tick": 1100, "value": 0.75, **metrics}
    serve([StubResponse(body=job_document(status="succeeded", best=best))])
    assert cli.main(["status", JOB]) == 0
    text = "val_auc 0.75 at tick 1,100" + (": val_loss=-" if metrics else "")
    assert f"best {text}\n" in re.sub(" +", " ", capsys.readouterr().out)


@pytest.mark.parametrize(("status", "code"), ENDINGS)
def test_a_watched_submit_ends_with_the_jobs_outcome(
    serve: Serve, spec: str, status: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    error = (
        {"type": "nonfinite", "detail": "loss is nan", "tick": 7} if status == "failed" else None
    )
    serve(
        [
            StubResponse(202, job_document(status="queued", tick=0, loss=None, queue=None)),
            StubResponse(body=job_document(status=status, tick=10_000, error=error)),
        ]
    )
    assert cli.main(["submit", spec, "--watch"]) == code
    shown = capsys.readouterr()
    assert f"{status} at tick 10,000/10,000" in shown.out
    assert ("nonfinite: loss is nan" in shown.out) == (status == "failed")
    assert "\x1b" not in shown.out
    assert shown.err == ""


@pytest.mark.parametrize(
    ("status", "verdict", "difference", "files", "code", "message"),
    [
        ("succeeded", "equal", None, [], 0, ""),
        (
            "succeeded",
            "different",
            DIFFERENCE,
            [],
            1,
            "loss of tick 7 differs: 3f800000 and 00000000",
        ),
        ("failed", "damaged", None, ["history/loss/000000.rows"], 1, "000000.rows is not what was"),
    ],
)
def test_the_exit_code_of_a_watched_verify_is_0_for_the_verdict_equal_alone(
    serve: Serve,
    capsys: pytest.CaptureFixture[str],
    status: str,
    verdict: str,
    difference: dict[str, Any] | None,
    files: list[str],
    code: int,
    message: str,
) -> None:
    result = {
        "verdict": verdict, "first_difference": difference, "damaged_files": files,
        "ticks_compared": 10_000, "digests_compared": 3,
    }  # fmt: skip
    error = {"type": "damaged", "detail": "d", "tick": None} if status == "failed" else None
    ended = job_document(kind="verify", status=status, tick=10_000, error=error, result=result)
    queued = job_document(kind="verify", status="queued", tick=0, loss=None, queue=None)
    serve([StubResponse(body=job_document()), StubResponse(202, queued), StubResponse(body=ended)])
    assert cli.main(["verify", JOB, "--watch"]) == code
    shown = capsys.readouterr()
    assert f"{verdict}: 10,000 ticks and 3 states compared" in shown.out
    assert message in shown.err and bool(message) == bool(shown.err)


def test_submit_prints_the_id_alone(
    serve: Serve, spec: str, capsys: pytest.CaptureFixture[str]
) -> None:
    server = serve([StubResponse(202, job_document())])
    assert cli.main(["submit", spec, "--name", "new", "--label", "b:2:3"]) == 0
    assert capsys.readouterr().out == f"{JOB}\n"
    (requests,) = server.requests
    assert requests.body["name"] == "new"
    assert requests.body["labels"] == {"a": "1", "b": "2:3"}


def test_a_refused_spec_is_a_line_a_fault_on_standard_error(
    serve: Serve, spec: str, capsys: pytest.CaptureFixture[str]
) -> None:
    errors = [
        {"pointer": "/optimizer/lr", "detail": "at most 10", "value": 99},
        {"pointer": "/budget/ticks", "detail": "a whole number", "value": "8"},
    ]
    serve([problem_response(422, title="The spec breaks its rules", errors=errors)])
    assert cli.main(["submit", spec]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines() == [
        "tickforge: The spec breaks its rules (422)",
        "  /optimizer/lr = 99: at most 10",
        '  /budget/ticks = "8": a whole number',
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "not JSON"), ("[]", "JSON object"), ('{"a": NaN}', "NaN"), ("\xff", "not JSON")],
)
def test_a_file_that_is_no_spec_is_wrong_usage(
    tmp_path: Path, text: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "spec.json"
    path.write_bytes(text.encode("latin-1"))
    assert cli.main(["submit", str(path)]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["status"],
        ["status", "../keys"],
        ["submit", "/no/such/file.json"],
        ["list", "--status", "odd"],
        ["list", "--limit", "0"],
        ["history", JOB, "--csv", "--json"],
        ["list", "--url", "nowhere", "--key", "k"],
        ["list", "--url", "http://☃.example", "--key", "k"],
    ],
)
def test_wrong_usage_exits_with_2_and_sends_no_request(arguments: list[str]) -> None:
    assert cli.main(arguments) == 2


@pytest.mark.parametrize(("status", "code"), [(401, 2), (404, 2), (409, 2), (500, 3), (507, 3)])
def test_a_refusal_exits_with_2_and_a_server_error_with_3(
    serve: Serve, status: int, code: int
) -> None:
    serve([problem_response(status)])
    assert cli.main(["status", JOB]) == code


def test_errors_are_json_where_json_was_asked_for(
    serve: Serve, spec: str, capsys: pytest.CaptureFixture[str]
) -> None:
    errors = [{"pointer": "/model/family", "detail": "one of mlp", "value": "nlp"}]
    problem = {"type": "about:blank", "title": "Invalid", "status": 422, "errors": errors}
    serve([StubResponse(422, problem, {"Content-Type": "application/problem+json"})])
    cases = (["submit", spec], ["status"], ["list", "--url", "nowhere", "--key", "k"])
    documents = []
    for arguments in cases:
        assert cli.main([*arguments, "--json"]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        documents.append(json.loads(err))
    refused, usage, configuration = documents
    assert refused == problem
    assert usage == {"title": "Wrong usage", "detail": "Missing argument 'JOB'."}
    assert configuration["title"] == "Not configured" and "nowhere" in configuration["detail"]


def test_an_absent_server_exits_with_3(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(http, "FIRST_CONTACT_RETRY_SECONDS", 0.1)
    assert cli.main(["list", "--url", "http://127.0.0.1:1", "--key", KEY]) == 3
    assert "no answer from http://127.0.0.1:1" in capsys.readouterr().err


def any_answer(request: Any) -> StubResponse:
    """Something of the right form for every path."""
    page = {"data": [], "next_after": None, "has_more": False}
    if request.path.endswith(("jobs", "checkpoints", "models", "workers")):
        return (
            StubResponse(202, job_document())
            if request.method == "POST"
            else StubResponse(body=page)
        )
    if request.path.endswith("history"):
        columns = {"tick": [1, 2], "loss": [2.0, 1.0], "job_id": JOB}
        return StubResponse(body={**columns, "next_after": None, "last_tick": 2, "complete": True})
    if request.path.endswith(("version", "plan")):
        return StubResponse(body={"service": "0.1.0", "spec": {}})
    return StubResponse(body=job_document(status="succeeded"))


@pytest.mark.parametrize(
    "arguments",
    [
        *(
            [command, JOB]
            for command in (
                "status", "watch", "history", "checkpoints", "cancel", "stop", "pause", "resume",
                "delete",
            )
        ),
        ["list"],
        ["models"],
        ["workers"],
        ["version"],
        ["submit", "SPEC"],
        ["submit", "SPEC", "--watch"],
        ["plan", "SPEC"],
    ],
)  # fmt: skip
@pytest.mark.parametrize("first", [True, False], ids=["before", "after"])
def test_json_is_one_document_and_may_stand_before_or_after(
    serve: Serve,
    spec: str,
    arguments: list[str],
    first: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    serve(any_answer)
    arguments = [spec if argument == "SPEC" else argument for argument in arguments]
    assert cli.main(["--json", *arguments] if first else [*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) is not None


def test_a_name_cannot_steer_the_terminal(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    named = job_document(name="a\x1b[2Jb\nc", notes="\x1b]0;title\x07", labels={"k": "\x9b1m"})
    page = {"data": [named], "next_after": None, "has_more": False}
    serve(lambda request: StubResponse(body=page if request.path == "/v1/jobs" else named))
    cli.main(["list"])
    cli.main(["status", JOB])
    out = capsys.readouterr().out
    assert not {char for char in out if not char.isprintable()} - {"\n"}
    assert len([line for line in out.splitlines() if JOB in line]) == 2


def test_csv_is_passed_on_byte_for_byte(
    serve: Serve, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    text = b"tick,loss\n1,nan\n2,0.10000000149011612\n"

    def rule(request: Any) -> StubResponse:
        wanted = request.headers["Accept"] == "text/csv"
        return (
            StubResponse(200, text, {"Content-Type": "text/csv"})
            if wanted
            else StubResponse(body=job_document())
        )

    server = serve(rule)
    assert cli.main(["history", JOB, "--csv", "--columns", "loss", "--last", "2"]) == 0
    assert capfdbinary.readouterr().out == text
    assert server.requests[-1].query == {"columns": ["loss"], "last": ["2"]}


@pytest.mark.parametrize("no_colour", ["", "1"])
def test_a_terminal_sees_bar_rate_and_curve(serve: Serve, no_colour: str) -> None:
    responses = [job_document(tick=5), job_document(status="succeeded", tick=10)]

    def rule(request: Any) -> StubResponse:
        if request.path.endswith("curve.txt"):
            return StubResponse(body="loss 1\n 2 │⣇⣀\n   └──\n".encode())
        return StubResponse(body=responses.pop(0) if len(responses) > 1 else responses[0])

    serve(rule)
    code, output = on_a_terminal("watch", JOB, NO_COLOR=no_colour)
    assert code == 0, output
    assert "5,321 ticks/s" in output
    assert "ETA 1.6 s" in output
    assert "━" in output
    assert any("\u2801" <= char <= "\u28ff" for char in output)
    assert ("\x1b[32m" in output) == (not no_colour)
    assert output.rstrip().endswith("loss 0.123  val_loss 0.21")


def test_a_curve_is_ascii_where_the_terminal_has_no_more_and_told_where_the_server_has_none(
    serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    def rule(request: Any) -> StubResponse:
        if request.query.get("columns") == ["lr"]:
            problem = {"type": "urn:tickforge:problem:not-found", "title": "no", "detail": "path"}
            return StubResponse(404, problem)
        if request.path.endswith("curve.txt"):
            return StubResponse(body=" 2 │⣇ o\n   └──\n".encode())
        return StubResponse(body=job_document())

    server = serve(rule)
    with Client(server.url, KEY) as client:
        job = client.job(JOB)
        assert job.curve_lines("ascii", width=20) == [" 2 |* o", "   +--"]
        assert job.curve_lines(None) == job.curve_lines("ascii")
        assert job.curve_lines("utf-8") == [" 2 │⣇ o", "   └──"]
    assert server.requests[1].query == {"width": ["20"]}
    assert cli.main(["history", JOB, "--columns", "lr"]) == 0
    assert "draws no curves" in capsys.readouterr().out
    for wrong in (["curve", JOB, "-o", "a.gif"], ["curve", JOB, "--json"]):
        assert cli.main(wrong) == 2


def tickforge(*arguments: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "tickforge_client", *arguments],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=20,
    )


def test_help_imports_neither_httpx_nor_rich_nor_numpy() -> None:
    script = (
        "import sys; from tickforge_client import cli; assert cli.main(['--help']) == 0; "
        "print(sorted({'httpx', 'rich', 'numpy', 'torch'} & set(sys.modules)))"
    )
    shown = subprocess.check_output([sys.executable, "-c", script], text=True, timeout=20)
    assert shown.splitlines()[-1] == "[]"


def test_version_needs_no_server() -> None:
    shown = tickforge("--version", XDG_CONFIG_HOME="/nowhere")
    assert (shown.returncode, shown.stdout) == (0, "tickforge, version 0.1.0\n")


def test_a_reader_who_leaves_early_is_no_error() -> None:
    command = f"{sys.executable} -m tickforge_client history {JOB} --csv | head -1"
    with running_stub(
        lambda request: (
            StubResponse(body=job_document())
            if request.headers["Accept"] == "application/json"
            else StubResponse(200, b"1,2\n" * 500_000)
        )
    ) as server:
        shown = subprocess.run(
            ["bash", "-c", command],
            env={**os.environ, "TICKFORGE_URL": server.url, "TICKFORGE_KEY": KEY},
            capture_output=True,
            timeout=20,
        )
    assert (shown.stdout, shown.stderr) == (b"1,2\n", b"")


#: a clear screen, a window's title, a C1 control, a right-to-left override, a return
STEERING = "\x1b[2J\x1b]0;title\x07\x9b1m\u202e\r"


def with_steering_text(value: Any) -> Any:
    """Return a document whose texts end in it, but for words that the client knows."""
    if isinstance(value, dict):
        return {name: with_steering_text(item) for name, item in value.items()}
    if isinstance(value, list):
        return [with_steering_text(item) for item in value]
    is_free = isinstance(value, str) and value not in ("succeeded", "status", "log", JOB)
    return f"{value}{STEERING}" if is_free else value


def any_steering_answer(request: Any) -> StubResponse:
    """Answer with texts that would steer a terminal; `refused` jobs by a problem of such texts."""
    if "refused" in request.path:
        entry = {"pointer": STEERING, "detail": STEERING, "value": STEERING}
        problem = {"title": STEERING, "detail": STEERING, "errors": [entry], "status": 422}
        return StubResponse(422, problem, {"Content-Type": "application/problem+json"})
    if request.path.endswith("logs"):
        headers = {"Content-Type": "text/plain", "X-Next-After": "9", "X-Complete": "true"}
        return StubResponse(200, f"é {STEERING}".encode(), headers)
    if request.path.endswith("events"):
        entry = {"seq": 1, "at": "now", "type": "log", "data": {"level": "x", "message": STEERING}}
        return StubResponse(body={"data": [entry], "next_after": None, "has_more": False})
    answer = any_answer(request)
    if isinstance(answer.body, dict) and "data" in answer.body:
        answer.body["data"] = [job_document()] if request.path.endswith("jobs") else []
    return StubResponse(answer.status, with_steering_text(answer.body))


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_no_text_of_a_server_steers_the_terminal(
    serve: Serve, spec: str, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    serve(any_steering_answer)
    commands = [[command, JOB] for command in ("status", "events", "checkpoints", "cancel")]
    for arguments in [*commands, ["status", "refused"], ["list"], ["submit", spec]]:
        cli.main([*arguments, *flags])
        shown = "".join(capsys.readouterr())
        unprintable = {char for char in shown if not char.isprintable()}
        assert shown and unprintable <= {"\n", "\t"}, (arguments, shown)


def test_a_log_on_a_terminal_is_text(serve: Serve) -> None:
    serve(any_steering_answer)
    code, output = on_a_terminal("logs", JOB)
    assert code == 0 and "é " in output
    assert {char for char in output if not char.isprintable()} <= {"\r", "\n"}
    assert "\x1b" not in output


@pytest.mark.parametrize("follow", [[], ["--follow"]])
def test_a_terminal_is_shown_a_log_without_what_steers_it(
    serve: Serve, follow: list[str], capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    serve(any_steering_answer)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert cli.main(["logs", JOB, *follow]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("é �[2J") and shown.isprintable()
