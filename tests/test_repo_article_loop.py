"""examples/layernorm_loop.py, a loop as anybody would write it, against our trainer: every bit."""

import json
import subprocess
import sys

import numpy as np

from jobs.spec.reading import read_spec
from tests.support import ROOT
from tests.training_records import run_and_record, start_training

EXAMPLES = ROOT / "examples"


def test_the_baseline_loop_prints_the_losses_that_the_trainer_records() -> None:
    completed = subprocess.run(
        [sys.executable, EXAMPLES / "layernorm_loop.py"],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    printed = np.array([float(line) for line in completed.stdout.splitlines()], "<f4")
    spec = read_spec(
        json.loads((EXAMPLES / "seed_layernorm.json").read_text()), max_parameters=10**6
    )
    recorded = run_and_record(start_training(spec)).columns["loss"]

    assert len(printed) == 10_000
    assert printed.tobytes() == recorded
