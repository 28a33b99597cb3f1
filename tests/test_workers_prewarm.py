"""The program that compiles ahead of jobs, as the process of a worker that it is."""

import sys
import time

import psutil
import pytest

from workers import prewarm
from workers.prewarm import Prewarm


def test_a_compiling_process_that_has_ended_is_no_zombie_after_the_next_check(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(prewarm, "COMMAND", (sys.executable, "-c", ""))
    program = Prewarm()
    before = set(psutil.Process().children())
    program.start()
    [process] = set(psutil.Process().children()) - before
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)

    program.reap_if_ended()

    assert not psutil.pid_exists(process.pid)
    program.stop()
