"""Engines against the hand-written loop: the same net, data and ticks, in turn, in one process.

The hand-written loop is the article's: slices of one tensor, torch's own optimizer, `.item()` every
tick. torch.compile is used as usual, on the model alone. The kernel by hand is a yardstick for the
seed's net. Rates leave compilation out; its time is shown beside them.
"""

import shutil
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from bench.article_loop import SEED_SPEC
from bench.native import compile_hand_kernel
from bench.report import Figure, ratio
from bench.timing import measure_in_turn, time_call
from jobs.spec.engines import unsupported_reason
from jobs.spec.job_spec import JobSpec
from jobs.spec.reading import read_spec
from models.build import build
from ticks import machine
from ticks.data.batches import TensorBatches, TensorRows
from ticks.data.load import load_data
from ticks.engines.graph import build_loop
from ticks.engines.selection import available_engines
from ticks.objectives import OBJECTIVES
from ticks.optimizers import make_optimizer
from ticks.training import TrainingRun

CPU = torch.device("cpu")
COMPILED, BY_HAND = "torch.compile", "kernel by hand"
Run = Callable[[int], object]

ADAMW = {"name": "adamw"}
ON_TABLE = {"source": "synthetic", "kind": "regression", "samples": 2048, "features": 64, "seed": 1}
WIDE = {
    "model": {"family": "mlp", "hidden": [512, 512, 512]}, "batch_size": 64, "optimizer": ADAMW,
    "data": {**ON_TABLE, "shuffle": False},
}  # fmt: skip
GPT = {
    "model": {"family": "transformer_lm", "layers": 4, "heads": 4, "width": 128}, "batch_size": 16,
    "optimizer": ADAMW,
    "data": {"source": "example", "name": "genesis", "window": 64, "shuffle": False},
}  # fmt: skip
TEN_MILLION = {**WIDE, "model": {"family": "mlp", "hidden": [2200, 2200, 2200]}}
#: net -> its spec, ticks a round of the loop and of eager, and times as many by the others
NETS: dict[str, tuple[dict[str, Any], int, dict[str, int]]] = {
    "seed's net": (SEED_SPEC, 1000, {"graph": 10, "native": 500, BY_HAND: 500}),
    "mlp 512-512-512, batch 64": (WIDE, 40, {}),
    "GPT 4 x 128, batch 16 x 64": (GPT, 5, {}),
}


def measure(rounds: int) -> list[Figure]:
    """Measure all nets; ratios are of what was run in the same round."""
    machine.configure_torch(1)
    figures = [Figure("graph, its loop compiled: once a machine", "s", [time_loop_compilation()])]
    for net, (body, ticks, times) in NETS.items():
        figures += compare_engines(net, make_spec(body), ticks, times, rounds)
    return figures


def compare_engines(
    net: str, spec: JobSpec, ticks: int, times: dict[str, int], rounds: int
) -> list[Figure]:
    """Run the loop and every engine that can train the spec in turn, `ticks` times a factor."""
    names = [name for name in available_engines() if unsupported_reason(spec, name) is None]
    runs: dict[str, Run] = {"loop": make_hand_written_loop(spec)}
    figures = []
    if shutil.which("g++") is None:
        print(f"  {net}: {COMPILED} is left out, there is no g++")
    else:
        runs[COMPILED] = make_hand_written_loop(spec, compiled=True)
        seconds = time_call(partial(runs[COMPILED], 2))
        figures.append(Figure(f"{net}: {COMPILED}, first ticks", "s", [seconds]))
    if BY_HAND in times:
        with tempfile.TemporaryDirectory() as folder:
            runs[BY_HAND] = compile_hand_kernel(Path(folder))
    for name in names:
        started = time.perf_counter()
        runs[name] = TrainingRun(spec, CPU, engine=name).run
        runs[name](2)
        seconds = time.perf_counter() - started
        figures.append(Figure(f"{net}: {name}, from nothing to its first tick", "s", [seconds]))
    counts = {name: ticks * times.get(name, 1) for name in runs}
    timers = {name: partial(_seconds_per_tick, run, counts[name]) for name, run in runs.items()}
    tick_seconds = measure_in_turn(timers, rounds, warmup_rounds=1)
    for name, values in tick_seconds.items():
        figures.append(Figure(f"{net}: {name}", "ticks/s", [1 / seconds for seconds in values]))
    loop = tick_seconds.pop("loop")
    return figures + [
        ratio(f"{net}: {name} against the loop", loop, values)
        for name, values in tick_seconds.items()
    ]


def make_spec(body: dict[str, Any]) -> JobSpec:
    """Return a net's spec without an end."""
    return read_spec({**body, "budget": {"ticks": 10**9}}, max_parameters=10**7)


def make_hand_written_loop(spec: JobSpec, *, compiled: bool = False) -> Run:
    """Return the loop as one would write it for this net and these rows."""
    batches = load_data(spec, CPU).training.batches(spec.batch_size, seed=0, shuffle=False)
    if isinstance(batches, TensorBatches):
        all_rows = batches.rows
    else:  # a text: as a tensor of windows, which such a loop would have made before
        all_rows = TensorRows(*map(torch.cat, zip(*copy_batches(batches), strict=True)))
    model = build(spec.model, spec.profile.features, spec.profile.outputs, spec.seed)
    forward = torch.compile(model) if compiled else model
    criterion, size = OBJECTIVES[spec.objective](), spec.batch_size
    optimizer = make_optimizer(spec.optimizer, model.parameters())
    losses: list[float] = []

    def run(ticks: int) -> None:
        for tick in range(ticks):
            first = tick * size % (len(all_rows.inputs) - size + 1)
            outputs = forward(all_rows.inputs[first : first + size])
            loss = criterion(outputs, all_rows.targets[first : first + size])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())

    return run


def copy_batches(batches: Any) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return copies of the first eight batches."""
    return [tuple(tensor.clone() for tensor in batches.batch(tick)) for tick in range(1, 9)]


def time_loop_compilation() -> float:
    """Return the seconds to compile graph's loop."""
    with tempfile.TemporaryDirectory() as folder:
        return time_call(lambda: build_loop.compile_loop(Path(folder)))


def _seconds_per_tick(run: Run, ticks: int) -> float:
    return time_call(partial(run, ticks)) / ticks
