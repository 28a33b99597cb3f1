"""`make demo`: a whole run from an empty folder, after which no process is left."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from serving.demo import NotReady, isolated_environment, running_service
from tests.support import ROOT


def start_demo(folder: Path) -> "subprocess.Popen[str]":
    """The demo as make runs it, with all it leaves behind in `folder`."""
    environ = {
        **os.environ,
        "TMPDIR": str(folder),
        "XDG_CONFIG_HOME": str(folder / "mine"),
        "TICKFORGE_REDIS_URL": "redis://the-store-of-production:6379",
        "TICKFORGE_ADMIN_KEY": "a-key-of-production-0123456789abcdef",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "serving.demo"],
        cwd=ROOT,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def left_running(folder: Path) -> list[str]:
    """Processes that work in `folder`, or that were started for it."""
    leftovers = []
    for process in psutil.process_iter():
        try:
            words = [*process.cmdline(), *process.environ().values()]
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        if process.pid != os.getpid() and any(str(folder) in word for word in words):
            leftovers.append(f"{process.pid} {' '.join(process.cmdline())}")
    return leftovers


def test_the_demo_trains_the_digits_and_prints_the_result(tmp_path: Path) -> None:
    """Its folder is longer than a socket's path may be."""
    tmp_path /= "l" * 150
    tmp_path.mkdir()
    demo = start_demo(tmp_path)
    output = demo.communicate(timeout=100)[0]
    assert demo.returncode == 0, output
    assert "(log)" in output
    accuracy = re.search(r"held-out accuracy +(0\.\d+)", output)
    assert accuracy, output
    assert re.search(r"the first image shows a 0 \(\d+\.\d%\); it is a 0", output), output
    assert float(accuracy[1]) >= 0.95
    checkpoint = re.search(r"checkpoint +(/\S+)", output)
    assert checkpoint, output
    assert (Path(checkpoint[1]) / "model.safetensors").is_file()
    assert "make serve" in output
    assert "\x1b" not in output
    assert not (tmp_path / "mine").exists()
    assert left_running(tmp_path) == []


def test_a_demo_that_is_interrupted_leaves_nothing_running(tmp_path: Path) -> None:
    demo = start_demo(tmp_path)
    assert demo.stdout is not None
    heard = ""
    while "running" not in heard:
        line = demo.stdout.readline()
        assert line, heard
        heard += line
    demo.send_signal(signal.SIGINT)
    output = demo.communicate(timeout=30)[0]
    assert demo.returncode == 130, output
    assert "Traceback" not in output
    assert left_running(tmp_path) == []


def test_a_service_that_cannot_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file, not a folder")
    began = time.monotonic()
    with (
        pytest.raises(NotReady, match="data"),
        running_service(tmp_path / "data", tmp_path / "log", isolated_environment(tmp_path)),
    ):
        pass
    assert time.monotonic() - began < 30
