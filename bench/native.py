"""The native engine on the seed's net: beside the article's loop, eager, a kernel by hand, lanes.

The kernel by hand (kernels/seed.c) is the yardstick: one loop, written for this net alone, compiled
with -ffast-math. Rates are of processor time, so that neighbours on a busy machine count little.
"""

import ctypes
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from bench.report import Figure, ratio
from bench.service import ROOT
from jobs.spec.job_spec import JobSpec, read_spec
from ticks import machine
from ticks.data.batches import TensorBatches
from ticks.data.load import load_data
from ticks.engines.eager import EagerEngine
from ticks.engines.native import compiler
from ticks.engines.native.engine import NativeEngine
from ticks.engines.native.lanes import LaneBatch
from ticks.trainer import Trainer

SLOW, FAST = 1_000, 500_000  # ticks of a round
HAND = ("-O3", "-march=native", "-ffast-math", "-shared", "-fPIC", "-w")
Run = Callable[[], float]  # runs a round; ticks a second of processor time


def measure(rounds: int) -> list[Figure]:
    """Run all of them in turn."""
    machine.configure_torch(1)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        began = time.perf_counter()
        native = NativeEngine(_trainer(0), ["loss"], folder)
        cold = time.perf_counter() - began
        began = time.perf_counter()
        NativeEngine(_trainer(0), ["loss"], folder)
        warm = time.perf_counter() - began
        runs: dict[str, Run] = {
            "article's loop": _article,
            "eager": _engine(EagerEngine(_trainer(0), ["loss"]).run, SLOW),
            "native, one job": _engine(native.run, FAST),
            "kernel by hand, fast-math": _engine(by_hand(folder), FAST),
            "native, 8 lanes": _lanes(8, folder),
            "native, 16 lanes": _lanes(16, folder),
        }
        found: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(rounds):
            for name, run in runs.items():
                found[name].append(run())
    alone = found["native, one job"]
    return [
        Figure("native, its object compiled", "s", [cold]),
        Figure("native, its object found", "s", [warm]),
        *(Figure(name, "ticks/s", values) for name, values in found.items()),
        ratio("native against the article's loop", alone, found["article's loop"]),
        ratio("native against the kernel by hand", alone, found["kernel by hand, fast-math"]),
        ratio("8 lanes against one job", found["native, 8 lanes"], alone),
        ratio("16 lanes against one job", found["native, 16 lanes"], alone),
    ]


def _trainer(seed: int) -> Trainer:
    spec = _spec(seed)
    return Trainer(spec, load_data(spec, torch.device("cpu")).training, torch.device("cpu"))


def _spec(seed: int) -> JobSpec:
    body = json.loads((ROOT / "examples" / "seed_layernorm.json").read_text())
    return read_spec({**body, "seed": seed}, max_parameters=10**6)


def _engine(run: Callable[[int], object], ticks: int) -> Run:
    def timed() -> float:
        began = time.thread_time()
        run(ticks)
        return ticks / (time.thread_time() - began)

    return timed


def _lanes(count: int, folder: Path) -> Run:
    lanes = LaneBatch([_trainer(seed) for seed in range(count)], ["loss"], count, folder)
    once = _engine(lambda ticks: lanes.run([ticks] * count), FAST // count)
    return lambda: count * once()


def _article() -> float:
    trainer = _trainer(0)
    assert isinstance(trainer.batches, TensorBatches)
    inputs, targets = trainer.batches.rows
    criterion, optimizer = nn.MSELoss(), torch.optim.SGD(trainer.net.parameters(), lr=0.01)
    began = time.thread_time()
    for i in range(SLOW):
        optimizer.zero_grad()
        loss = criterion(trainer.net(inputs[i % 100]), targets[i % 100])
        loss.backward()
        optimizer.step()
        loss.item()
    return SLOW / (time.thread_time() - began)


def by_hand(folder: Path) -> Callable[[int], object]:
    """Compile the kernel and give it the seed's weights and rows; the function runs ticks."""
    found = compiler.find_compiler()
    assert found is not None, "the bench needs a C compiler"
    made = folder / "hand.so"
    found.compile(ROOT / "bench" / "kernels" / "seed.c", made, 1, HAND)
    code = ctypes.CDLL(str(made))
    trainer = _trainer(0)
    assert isinstance(trainer.batches, TensorBatches)
    weights = np.concatenate([p.detach().numpy().ravel() for p in trainer.parameters])
    inputs, targets = (each.numpy() for each in trainer.batches.rows)
    for name, values in (("parameters", weights), ("inputs", inputs), ("targets", targets)):
        place = (ctypes.c_float * values.size).in_dll(code, name)
        ctypes.memmove(place, np.ascontiguousarray(values).ctypes.data, values.nbytes)
    return lambda ticks: code.run(ctypes.c_long(ticks), ctypes.c_float(0.01))
