"""`python -m ticks spec.json`: the whole of training without any service."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT, small_spec
from tests.test_ticks_chunks import OVERFLOWING
from tests.training_records import read_small_spec, run_and_record, start_training
from ticks.__main__ import main


def run(*arguments: object, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ticks", *map(str, arguments)],
        capture_output=True, text=True, timeout=100, check=False, cwd=folder,
        env={"PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def test_the_digits_example_reaches_95_percent_on_rows_it_never_saw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([str(ROOT / "examples" / "digits.json")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "loss" in lines[0] and lines[-1].startswith("ended by budget; tick 3000, state ")
    state = json.loads((tmp_path / "checkpoints" / "digits-1" / "state.json").read_text())
    assert state["tick"] == 3000 and state["metrics"]["val_accuracy"] >= 0.95


def test_the_programs_state_is_that_of_a_training_in_chunks(tmp_path: Path) -> None:
    file, out = tmp_path / "spec.json", tmp_path / "out"
    file.write_text(json.dumps(small_spec(budget={"ticks": 30})))
    assert main([str(file), "--out", str(out)]) == 0
    record = run_and_record(start_training(read_small_spec(budget={"ticks": 30})))
    assert json.loads((out / "state.json").read_text())["state"] == record.state
    again = run(file, "--out", out, folder=tmp_path)
    assert again.returncode == 2 and again.stderr == f"{out}: File exists\n"


def test_a_failure_is_exit_code_1_and_keeps_the_state_before_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = tmp_path / "spec.json", tmp_path / "out"
    file.write_text(json.dumps(small_spec(**OVERFLOWING)))
    assert main([str(file), "--out", str(out)]) == 1
    assert json.loads((out / "state.json").read_text())["tick"] == 28
    assert "failed: the loss of tick 29 is inf; tick 28" in capsys.readouterr().out


def test_a_budget_of_seconds_ends_it(tmp_path: Path) -> None:
    file, out = tmp_path / "spec.json", tmp_path / "out"
    budget, validation = {"seconds": 1}, {"fraction": 0.25, "every_ticks": 10**9}
    file.write_text(json.dumps(small_spec(budget=budget, validation=validation)))
    assert main([str(file), "--out", str(out)]) == 0
    state = json.loads((out / "state.json").read_text())
    assert state["tick"] > 0 and state["validated_at"] == state["tick"]


def test_a_bad_spec_gets_every_fault_on_a_line_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "spec.json"
    bad = small_spec(optimizer={"name": "sgd", "lr": 11}, batch_size=0, colour="red")
    file.write_text(json.dumps(bad))
    completed = run(file, folder=tmp_path)
    assert completed.returncode == 2 and not completed.stdout
    pointers = sorted(line.split(":")[0] for line in completed.stderr.splitlines())
    assert pointers == ["/batch_size", "/colour", "/optimizer/lr"]
    assert sorted(tmp_path.iterdir()) == [file]


def test_an_unreadable_spec_is_reported_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "spec.json"
    missing = run(file, folder=tmp_path)
    file.write_text("{")
    broken = run(file, folder=tmp_path)
    assert missing.returncode == broken.returncode == 2
    assert missing.stderr == f"{file}: No such file or directory\n"
    assert broken.stderr.startswith(f"{file}: not JSON") and broken.stderr.count("\n") == 1


def test_help_is_printed(tmp_path: Path) -> None:
    completed = run("--help", folder=tmp_path)
    assert completed.returncode == 0
    assert "--out FOLDER" in completed.stdout
