"""`make demo-crash`: what a person watches ends in equal digests, and leaves nothing behind."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from faults.demo_crash import Digests, print_comparison
from tests.support import ROOT


@pytest.mark.slow
def test_the_demo_kills_trainer_worker_and_store_and_every_bit_is_equal() -> None:
    folder = Path(tempfile.mkdtemp(prefix="l" * 150))  # longer than a socket's path may be
    env = {**os.environ, "TMPDIR": str(folder)}
    ran = subprocess.run(
        [sys.executable, "-m", "faults.demo_crash"], cwd=ROOT, env=env, capture_output=True,
        text=True, timeout=280,
    )  # fmt: skip

    assert ran.returncode == 0, ran.stdout + ran.stderr
    for who in ("the trainer", "the worker", "the store"):
        assert f"SIGKILL for {who}" in ran.stdout
    assert ran.stdout.count("  equal\n") == 2 and "different" not in ran.stdout
    assert list(folder.iterdir()) == []
    folder.rmdir()


def test_unequal_digests_are_reported(capsys: pytest.CaptureFixture[str]) -> None:
    assert print_comparison(Digests("a", "b"), Digests("a", "c")) == 1

    output = capsys.readouterr().out
    assert output.count("  equal\n") == 1 and output.count("  different\n") == 1
