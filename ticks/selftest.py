"""What a worker reports of itself before it takes a job: devices, engines, canary, speed.

Reads the clock, as process/commands.py does, only to report durations.
"""

import json
import time
from pathlib import Path
from typing import Any

import torch

from jobs.spec.data import EXAMPLES_FOLDER
from jobs.spec.reading import read_spec
from ticks import canary
from ticks.engines.selection import available_engines
from ticks.machine import cpu_name, describe_gpu, versions
from ticks.training import TrainingRun

SEED_SPEC = EXAMPLES_FOLDER.parent / "seed_layernorm.json"
WARMUP_TICKS, TIMED_TICKS = 200, 2000


def run_selftest(device: torch.device) -> dict[str, Any]:
    """Return engines, canary, versions, and ticks per second of examples/seed_layernorm.

    The speed is measured on `device`, with the thread count that is set, by the engine that such a
    job gets there.
    """
    return {
        "device": device.type,
        "devices": available_devices(),
        "cpu": cpu_name(),
        "gpu": describe_gpu(device),
        "engines": available_engines(device.type),
        "canary": canary.compute_canary(device),
        "ticks_per_second": round(measure_speed(SEED_SPEC, device), 1),
        "versions": versions(),
    }


def available_devices() -> list[str]:
    """Return the kinds of device of this machine."""
    return ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


def measure_speed(spec_file: Path, device: torch.device) -> float:
    """Return ticks per second of a spec's job after WARMUP_TICKS ticks."""
    spec = read_spec(json.loads(spec_file.read_text()), max_parameters=10**6)
    training = TrainingRun(spec, device)
    training.run(WARMUP_TICKS)
    started = time.perf_counter()
    training.run(TIMED_TICKS)
    return TIMED_TICKS / (time.perf_counter() - started)
