"""Shell completion: the printed scripts, run by the shells themselves."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.stub_server import KEY, StubResponse, StubServer, job_document, running_stub
from tests.terminals import install_command
from tickforge_client import cli

JOBS = [job_document(id=f"job_{letter * 26}", name=f"digits-{letter}") for letter in "ab"]
DATASET = "ds_" + "c" * 26


@pytest.fixture(scope="module")
def server() -> Iterator[StubServer]:
    def rule(request: Any) -> StubResponse:
        data = JOBS if request.path == "/v1/jobs" else [{"id": DATASET, "name": "pets.csv"}]
        return StubResponse(body={"data": data, "next_after": None, "has_more": False})

    with running_stub(rule) as stub:
        yield stub


@pytest.fixture
def command(tmp_path: Path) -> Path:
    """A folder of the path with the command `tickforge`."""
    install_command(tmp_path)
    return tmp_path


def script_of(shell: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert cli.main(["completion", shell]) == 0
    return capsys.readouterr().out


def run_shell(shell: str, script: str, folder: Path, server: StubServer | None) -> list[list[str]]:
    """Run a script; gives the words of each line that it prints. Nothing is said beside."""
    environ = {
        "PATH": f"{folder}:/usr/bin:/bin", "HOME": str(folder), "PYTHONPATH": ":".join(sys.path),
        "TICKFORGE_KEY": KEY, "TICKFORGE_URL": server.url if server else "http://127.0.0.1:1",
    }  # fmt: skip
    completed = subprocess.run(
        [shell, "-c", script], env=environ, capture_output=True, text=True, timeout=60
    )
    assert completed.stderr == "", completed.stderr
    return [line.split() for line in completed.stdout.splitlines()]


COMPLETE = """
complete_line() {
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
    $(complete -p tickforge | sed 's/.* -F \\([^ ]*\\).*/\\1/') tickforge
    echo "${COMPREPLY[@]}"
}
"""


def test_bash_completes_commands_options_and_ids_of_jobs_and_datasets(
    command: Path, server: StubServer, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        ["web"], ["list", "--sta"], ["watch", JOBS[0]["id"], "job_b"], ["status", "digits"],
        ["evaluate", JOBS[0]["id"], "ds_"], ["status", "ds_"],
    ]  # fmt: skip
    lines = "".join(f"complete_line tickforge {' '.join(line)}\n" for line in words)
    script = script_of("bash", capsys) + COMPLETE + lines
    first, second = (job["id"] for job in JOBS)
    assert run_shell("bash", script, command, server) == [
        ["webhooks"], ["--status"], [second], [first, second], [DATASET], [],
    ]  # fmt: skip


def test_a_service_that_does_not_answer_leaves_a_shell_without_ids_and_without_a_word(
    command: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = script_of("bash", capsys) + COMPLETE + "complete_line tickforge status job_\n"
    assert run_shell("bash", script, command, None) == [[]]


@pytest.mark.parametrize(("shell", "check"), [("zsh", "-n"), ("fish", "--no-execute")])
def test_other_shells_can_read_their_scripts(
    shell: str, check: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")  # optional everywhere, like clang
    file = tmp_path / shell
    file.write_text(script_of(shell, capsys))
    subprocess.run([shell, check, str(file)], check=True, timeout=20)


def test_a_script_is_a_field_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    script = script_of("fish", capsys)
    assert cli.main(["completion", "fish", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"shell": "fish", "script": script.rstrip("\n")}


def test_a_shell_that_nobody_has_a_script_for_is_wrong_usage() -> None:
    assert cli.main(["completion", "tcsh"]) == cli.EXIT_USAGE
