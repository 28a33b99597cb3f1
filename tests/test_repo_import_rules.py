"""The import contracts hold, and a forbidden import is seen."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT

LINT = Path(sys.executable).parent / "lint-imports"
ROOMS = ("api", "jobs", "workers", "ticks", "models", "serving", "faults", "client")


def lint(folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [LINT, "--no-cache"], cwd=folder, capture_output=True, text=True, timeout=100,
        env={"PATH": "", "PYTHONPATH": f"{folder}:{folder}/client", "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip


def test_every_room_keeps_its_import_rule() -> None:
    completed = lint(ROOT)

    assert completed.returncode == 0, completed.stdout + completed.stderr


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("api/app.py", "import ticks.trainer"),
        ("api/app.py", "import torch"),
        ("api/app.py", "import jobs.ledger.client"),
        ("jobs/queries/jobs.py", "import models.norms"),
        ("ticks/trainer.py", "import redis"),
        ("workers/runner.py", "import flask"),
        ("client/tickforge_client/client.py", "import jobs.job"),
    ],
)
def test_a_forbidden_import_is_seen(tmp_path: Path, file: str, line: str) -> None:
    for room in ROOMS:
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / file).write_text(f"{line}\n")

    assert lint(tmp_path).returncode == 1
