"""Fault points: off unless a folder is named, once each, where and when it was asked for."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from jobs import fault_points
from jobs.fault_points import InjectedFault, hit
from tests.support import ROOT, wait_until
from workers.forkserver_client import trainer_environment

Arm = Callable[..., Path]


@pytest.fixture
def arm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Arm:
    """Arms faults for this process."""
    monkeypatch.setattr(fault_points, "_faults_folder", tmp_path)
    monkeypatch.setattr(fault_points, "_hit_counts", {})
    monkeypatch.setattr(fault_points, "_current_job", None)

    def write(name: str = "one", **fault: Any) -> Path:
        file = tmp_path / f"{name}.fault"
        file.write_text(json.dumps({"point": "here", "action": "raise", **fault}))
        return file

    return write


def passes(program: str, folder: Path | None) -> "subprocess.CompletedProcess[str]":
    """Run a program that passes points, with the folder named or not."""
    named = {} if folder is None else {"TICKFORGE_FAULTS": str(folder)}
    return subprocess.run(
        [sys.executable, "-c", f"from jobs.fault_points import hit\n{program}\nprint('passed')"],
        cwd=ROOT, env={"PATH": os.environ["PATH"], **named}, capture_output=True, text=True,
        timeout=30,
    )  # fmt: skip


def test_a_fault_point_does_nothing_where_no_folder_is_named(arm: Arm, tmp_path: Path) -> None:
    arm(action="kill")

    assert passes("hit('here')", None).stdout == "passed\n"
    assert passes("hit('here')", tmp_path).returncode == -signal.SIGKILL


def test_a_fault_happens_once_and_the_folder_shows_it(arm: Arm) -> None:
    file = arm()

    with pytest.raises(InjectedFault, match="here"):
        hit("here")
    hit("here")

    assert not file.exists() and file.with_suffix(".fired").exists()


def test_the_nth_passage_is_counted_for_each_fault(arm: Arm) -> None:
    arm(nth=3)

    hit("here")
    hit("elsewhere")
    hit("here")
    with pytest.raises(InjectedFault):
        hit("here")


def test_a_point_with_a_number_is_met_at_that_number(arm: Arm) -> None:
    arm(at=17)

    hit("here", number=16)
    with pytest.raises(InjectedFault):
        hit("here", number=17)


def test_a_fault_of_one_job_waits_for_its_processes(arm: Arm) -> None:
    arm(job="job_mine")

    hit("here")
    fault_points.set_current_job("job_other")
    hit("here")
    fault_points.set_current_job("job_mine")
    with pytest.raises(InjectedFault):
        hit("here")


def test_a_full_disk_is_an_oserror_as_the_kernel_gives_it(arm: Arm) -> None:
    arm(action="enospc")

    with pytest.raises(OSError) as raised:
        hit("here")
    assert raised.value.errno == errno.ENOSPC


def test_a_delay_holds_the_process_up(arm: Arm) -> None:
    arm(action="delay", seconds=0.2)

    began = time.monotonic()
    hit("here")
    assert time.monotonic() - began >= 0.2


def test_a_block_holds_the_process_until_its_file_is_deleted(arm: Arm, tmp_path: Path) -> None:
    fired = arm(action="block").with_suffix(".fired")

    with ThreadPoolExecutor() as threads:
        passed = threads.submit(hit, "here")
        wait_until(fired.exists, 10)
        assert not passed.done()
        fired.unlink()
        passed.result(timeout=10)


def test_a_file_that_is_being_written_hides_no_other(arm: Arm, tmp_path: Path) -> None:
    (tmp_path / "a.fault").write_text('{"point": "he')
    (tmp_path / "b.fault").symlink_to(tmp_path / "gone")  # as one that was taken after the listing
    arm("c")

    with pytest.raises(InjectedFault):
        hit("here")


def test_a_folder_that_is_not_there_yet_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fault_points, "_faults_folder", tmp_path / "later")

    hit("here")


@pytest.mark.parametrize("number", ["kill", "term", "quit", "segv"])
def test_a_signal_ends_the_process_at_the_point(arm: Arm, tmp_path: Path, number: Any) -> None:
    arm(action=number, nth=2)

    ran = passes("print('once', flush=True); hit('here'); hit('here')", tmp_path)

    assert (ran.returncode, ran.stdout) == (-fault_points.SIGNALS[number], "once\n")


def test_of_many_processes_one_alone_meets_a_fault(arm: Arm, tmp_path: Path) -> None:
    arm(action="kill")
    program = "from jobs.fault_points import hit\nhit('here')"
    env = {"PATH": os.environ["PATH"], "TICKFORGE_FAULTS": str(tmp_path)}
    ran = [subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, env=env) for _ in range(4)]

    assert sorted(process.wait(30) for process in ran) == [-signal.SIGKILL, 0, 0, 0]


def test_of_our_settings_a_trainer_sees_the_fault_points_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TICKFORGE_REDIS_URL", "redis://secret")
    monkeypatch.setenv("TICKFORGE_FAULTS", "/a/folder")

    ours = {
        name: text for name, text in trainer_environment().items() if name.startswith("TICKFORGE_")
    }
    assert ours == {"TICKFORGE_FAULTS": "/a/folder"}
