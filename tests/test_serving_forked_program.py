"""Programs in forks of serve.py: what they have of its state, and what they must not have."""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support import ROOT, wait_until

PARENT_ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "SECRET": "of the parent"}
#: a parent with a handler, a secret and an open file, that starts a program and does its BODY
PARENT = """
import os, signal, sys, time
sys.path.insert(0, sys.argv[1])
from serving.forked_program import ForkedProgram, preload
signal.signal(signal.SIGTERM, lambda *_: None)
signal.signal(signal.SIGINT, lambda *_: None)
secret = open(sys.argv[1] + "/secret", "w")
given = os.open(sys.argv[1] + "/given", os.O_CREAT | os.O_RDWR)
preload(["toy"])
env = {"PATH": os.environ["PATH"], "ITS": "own"}
child = ForkedProgram("toy", "toy", ("--name", "n" * 300), sys.argv[1], env, (given,)).start()
BODY
"""
TOY = """
import gc, json, os, signal, sys, time
def preload():
    import wave
def main(argv, environ):
    BODY
"""
REPORT = """
    facts = {
        "argv": list(argv), "environ": dict(environ), "folder": os.getcwd(),
        "is_preloaded": "wave" in sys.modules, "frozen": gc.get_freeze_count(),
        "descriptors": [os.readlink(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")
                        if os.path.lexists(f"/proc/self/fd/{name}")],
        "shown": open("/proc/self/cmdline").read(),
        "shown_environ": open("/proc/self/environ").read(),
        "group": os.getpgid(0) == os.getpid(),
        "handlers": [not callable(signal.getsignal(n)) for n in (signal.SIGTERM, signal.SIGHUP)]
        + [signal.getsignal(signal.SIGINT) == signal.default_int_handler],
    }
    print("to standard error")
    open("facts.tmp", "w").write(json.dumps(facts))
    os.rename("facts.tmp", "facts")
    sys.exit(7)
"""
WAIT_FOR_EVER = """
    open("up", "w").close()
    while True:
        time.sleep(1)
"""


def make_command(folder: Path, toy: str, parent: str) -> list[str]:
    """Write a program with this body; return the command line of its parent."""
    (folder / "toy").mkdir()
    (folder / "toy" / "__main__.py").write_text(TOY.replace("BODY", toy.strip()))
    return [sys.executable, "-c", PARENT.replace("BODY", parent), str(folder)]


def run_parent(folder: Path, toy: str, parent: str) -> subprocess.CompletedProcess[str]:
    """Run a parent whose program has this body, to its end."""
    return subprocess.run(
        make_command(folder, toy, parent), cwd=ROOT, env=PARENT_ENVIRONMENT,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a forked program says of itself; its parent reports the exit code."""
    folder = tmp_path_factory.mktemp("fork")
    ran = run_parent(folder, REPORT, "print(child.wait())")
    assert ran.stdout.split() == ["7"], ran.stderr
    assert ran.stderr == "to standard error\n"
    reported: dict[str, Any] = json.loads((folder / "facts").read_text())
    return {**reported, "expected_folder": str(folder)}


def test_a_forked_program_has_its_own_arguments_folder_and_environment(
    facts: dict[str, Any],
) -> None:
    assert facts["argv"] == ["--name", "n" * 300]
    assert facts["folder"] == facts["expected_folder"]
    assert facts["environ"].keys() == {"PATH", "ITS"}
    assert facts["group"] is True


def test_proc_shows_a_forked_programs_own_command_line_and_environment(
    facts: dict[str, Any],
) -> None:
    shown = facts["shown"].split("\0")
    assert shown == [sys.executable, "-m", "toy", "--name", "n" * 300, ""]
    assert "SECRET" not in facts["shown_environ"] and "ITS=own" in facts["shown_environ"]


def test_a_forked_program_finds_modules_loaded_and_exempt_from_collections(
    facts: dict[str, Any],
) -> None:
    assert facts["is_preloaded"] is True
    assert facts["frozen"] > 10_000


def test_a_forked_program_has_no_handler_and_no_descriptor_of_its_parents(
    facts: dict[str, Any],
) -> None:
    assert facts["handlers"] == [True, True, True]
    names = {Path(target).name for target in facts["descriptors"]}
    assert "given" in names and "secret" not in names


def test_a_signal_right_after_the_fork_ends_the_program(tmp_path: Path) -> None:
    ran = run_parent(tmp_path, WAIT_FOR_EVER, "child.terminate(); print(child.wait())")
    assert ran.stdout.split() == ["-15"], ran.stderr


def test_a_forked_program_that_fails_says_why_and_leaves_its_parents_files_alone(
    tmp_path: Path,
) -> None:
    parent = "print(child.wait(), flush=True); secret.write('whole'); secret.close()"
    ran = run_parent(tmp_path, "raise ValueError('on purpose')", parent)
    assert ran.stdout.split() == ["1"]
    assert ran.stderr.count("ValueError: on purpose") == 1
    assert (tmp_path / "secret").read_text() == "whole"


def test_a_forked_program_ends_with_a_killed_parent(tmp_path: Path) -> None:
    parent = """
while not os.path.exists(sys.argv[1] + "/up"): time.sleep(0.01)
print(child.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    with subprocess.Popen(
        make_command(tmp_path, WAIT_FOR_EVER, parent), cwd=ROOT, env=PARENT_ENVIRONMENT, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        pid = int(process.stdout.readline())
    try:
        wait_until(lambda: not _runs(pid))
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_a_process_with_two_threads_forks_no_program(tmp_path: Path) -> None:
    parent = """
import threading
threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
try:
    ForkedProgram("toy", "toy", (), "/", {}).start()
except AssertionError as error:
    child.terminate()
    print(error)
    os._exit(0)
"""
    ran = run_parent(tmp_path, WAIT_FOR_EVER, parent)
    assert "must have one thread, not 2" in ran.stdout, ran.stderr


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
