"""The native engine on the seed's net: beside the article's loop, eager, a kernel by hand, lanes.

The kernel by hand (kernels/seed.c) is the yardstick: one loop, written for this net alone, compiled
with -ffast-math. Rates are of processor time, so that neighbours on a busy machine count little.
"""

import ctypes
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from bench.article_loop import SEED_SPEC
from bench.report import Figure, ratio
from bench.service import ROOT
from bench.timing import measure_in_turn, time_call
from jobs.spec.reading import read_spec
from ticks import machine
from ticks.data.batches import TensorBatches
from ticks.data.load import load_data
from ticks.engines.eager import EagerEngine
from ticks.engines.native import compiler
from ticks.engines.native.engine import NativeEngine
from ticks.engines.native.lanes import LaneBatch
from ticks.trainer import Trainer

SLOW_TICKS, FAST_TICKS = 1_000, 500_000  # ticks of a round
HAND_FLAGS = ("-O3", "-march=native", "-ffast-math", "-shared", "-fPIC", "-w")
Run = Callable[[], float]  # runs a round; ticks a second of processor time


def measure(rounds: int) -> list[Figure]:
    """Run all of them in turn."""
    machine.configure_torch(1)
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        cold, warm = (time_call(partial(_make_native_engine, folder)) for _ in range(2))
        native = _make_native_engine(folder)
        runs: dict[str, Run] = {
            "article's loop": _run_article_loop,
            "eager": _timed_runs(EagerEngine(_make_trainer(0), ["loss"]).run, SLOW_TICKS),
            "native, one job": _timed_runs(native.run, FAST_TICKS),
            "kernel by hand, fast-math": _timed_runs(compile_hand_kernel(folder), FAST_TICKS),
            "native, 8 lanes": _lane_runs(8, folder),
            "native, 16 lanes": _lane_runs(16, folder),
        }
        rates = measure_in_turn(runs, rounds)
    alone = rates["native, one job"]
    return [
        Figure("native, its object compiled", "s", [cold]),
        Figure("native, its object found", "s", [warm]),
        *(Figure(name, "ticks/s", values) for name, values in rates.items()),
        ratio("native against the article's loop", alone, rates["article's loop"]),
        ratio("native against the kernel by hand", alone, rates["kernel by hand, fast-math"]),
        ratio("8 lanes against one job", rates["native, 8 lanes"], alone),
        ratio("16 lanes against one job", rates["native, 16 lanes"], alone),
    ]


def _make_native_engine(folder: Path) -> NativeEngine:
    return NativeEngine(_make_trainer(0), ["loss"], folder)


def _make_trainer(seed: int) -> Trainer:
    spec = read_spec({**SEED_SPEC, "seed": seed}, max_parameters=10**6)
    return Trainer(spec, load_data(spec, torch.device("cpu")).training, torch.device("cpu"))


def _timed_runs(run: Callable[[int], object], ticks: int) -> Run:
    def time_run() -> float:
        started = time.thread_time()
        run(ticks)
        return ticks / (time.thread_time() - started)

    return time_run


def _lane_runs(count: int, folder: Path) -> Run:
    lanes = LaneBatch([_make_trainer(seed) for seed in range(count)], ["loss"], count, folder)
    time_lane = _timed_runs(lambda ticks: lanes.run([ticks] * count), FAST_TICKS // count)
    return lambda: count * time_lane()


def _run_article_loop() -> float:
    trainer = _make_trainer(0)
    assert isinstance(trainer.batches, TensorBatches)
    inputs, targets = trainer.batches.rows
    criterion, optimizer = nn.MSELoss(), torch.optim.SGD(trainer.net.parameters(), lr=0.01)
    started = time.thread_time()
    for i in range(SLOW_TICKS):
        optimizer.zero_grad()
        loss = criterion(trainer.net(inputs[i % 100]), targets[i % 100])
        loss.backward()
        optimizer.step()
        loss.item()
    return SLOW_TICKS / (time.thread_time() - started)


def compile_hand_kernel(folder: Path) -> Callable[[int], object]:
    """Compile the kernel with the seed's weights and rows; return the function that runs ticks."""
    c_compiler = compiler.find_compiler()
    assert c_compiler is not None, "the bench needs a C compiler"
    library = folder / "hand.so"
    c_compiler.compile(ROOT / "bench" / "kernels" / "seed.c", library, 1, HAND_FLAGS)
    code = ctypes.CDLL(str(library))
    trainer = _make_trainer(0)
    assert isinstance(trainer.batches, TensorBatches)
    weights = np.concatenate([p.detach().numpy().ravel() for p in trainer.parameters])
    inputs, targets = (tensor.numpy() for tensor in trainer.batches.rows)
    for name, values in (("parameters", weights), ("inputs", inputs), ("targets", targets)):
        array = (ctypes.c_float * values.size).in_dll(code, name)
        ctypes.memmove(array, np.ascontiguousarray(values).ctypes.data, values.nbytes)
    return lambda ticks: code.run(ctypes.c_long(ticks), ctypes.c_float(0.01))
