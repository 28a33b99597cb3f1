"""Engines against the hand-written loop: the same net, data and ticks, in turn, in one process.

The hand-written loop is the article's: slices of one tensor, torch's own optimizer, `.item()` every
tick. torch.compile is used as usual, on the model alone. The kernel by hand is a yardstick for the
seed's net. What is compiled once is not in the rates; what it takes is said beside them.
"""

import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from bench.native import by_hand
from bench.report import Figure, ratio
from bench.service import ROOT
from jobs.spec.engines import unsupported_reason
from jobs.spec.job_spec import JobSpec, read_spec
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

ON_TABLE = {"source": "synthetic", "kind": "regression", "samples": 2048, "features": 64, "seed": 1}
WIDE = {
    "model": {"family": "mlp", "hidden": [512, 512, 512]}, "batch_size": 64,
    "data": {**ON_TABLE, "shuffle": False},
}  # fmt: skip
GPT = {
    "model": {"family": "transformer_lm", "layers": 4, "heads": 4, "width": 128}, "batch_size": 16,
    "data": {"source": "example", "name": "genesis", "window": 64, "shuffle": False},
}  # fmt: skip
#: the net, and the ticks a round of the loop and of eager; the others run so many times as many
NETS: dict[str, tuple[dict[str, Any], int, dict[str, int]]] = {
    "seed's net": ({}, 1000, {"graph": 10, "native": 500, BY_HAND: 500}),
    "mlp 512-512-512, batch 64": (WIDE, 40, {}),
    "GPT 4 x 128, batch 16 x 64": (GPT, 5, {}),
}


def measure(rounds: int) -> list[Figure]:
    """Measure all nets; ratios are of what was run in the same round."""
    machine.configure_torch(1)
    figures = [Figure("graph, its loop compiled: once a machine", "s", [loop_compiled()])]
    for net, (changes, ticks, times) in NETS.items():
        figures += compare(net, spec_of(changes), ticks, times, rounds)
    return figures


def compare(
    net: str, spec: JobSpec, ticks: int, times: dict[str, int], rounds: int
) -> list[Figure]:
    """Run the loop and every engine that can in turn, each for `ticks` times its `times`."""
    names = [name for name in available_engines() if unsupported_reason(spec, name) is None]
    runs: dict[str, Run] = {"loop": hand_written(spec)}
    figures = []
    if shutil.which("g++") is None:
        print(f"  {net}: {COMPILED} is left out, there is no g++")
    else:
        runs[COMPILED] = hand_written(spec, compiled=True)
        figures.append(Figure(f"{net}: {COMPILED}, first ticks", "s", [timed(runs[COMPILED], 2)]))
    if BY_HAND in times:
        with tempfile.TemporaryDirectory() as folder:
            runs[BY_HAND] = by_hand(Path(folder))
    for name in names:
        made, seconds = begun(spec, name)
        runs[name] = made.run
        figures.append(Figure(f"{net}: {name}, from nothing to its first tick", "s", [seconds]))
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for at in range(rounds + 1):
        for name, run in runs.items():
            count = ticks * times.get(name, 1)
            seconds = timed(run, count) / count
            if at:  # the first round warms up
                taken[name].append(seconds)
    for name, each in taken.items():
        figures.append(Figure(f"{net}: {name}", "ticks/s", [1 / seconds for seconds in each]))
    return figures + [
        ratio(f"{net}: {name} against the loop", taken["loop"], taken[name])
        for name in taken
        if name != "loop"
    ]


def spec_of(changes: dict[str, Any]) -> JobSpec:
    """The seed's spec, or another net, without an end."""
    seed = json.loads((ROOT / "examples" / "seed_layernorm.json").read_text())
    body = {**changes, "optimizer": {"name": "adamw"}} if changes else seed
    return read_spec({**body, "budget": {"ticks": 10**9}}, max_parameters=10**7)


def begun(spec: JobSpec, engine: str) -> tuple[TrainingRun, float]:
    """Build a training by an engine and make its first ticks; the seconds of both."""
    began = time.perf_counter()
    training = TrainingRun(spec, CPU, engine=engine)
    training.run(2)
    return training, time.perf_counter() - began


def hand_written(spec: JobSpec, *, compiled: bool = False) -> Run:
    """The loop as one would write it for this net and these rows."""
    rows = load_data(spec, CPU).training
    batches = rows.batches(spec.batch_size, seed=0, shuffle=False)
    if isinstance(batches, TensorBatches):
        whole = batches.rows
    else:  # a text: as a tensor of windows, which such a loop would have made before
        whole = TensorRows(*map(torch.cat, zip(*_copies(batches), strict=True)))
    model = build(spec.model, spec.profile.features, spec.profile.outputs, spec.seed)
    called = torch.compile(model) if compiled else model
    criterion, size = OBJECTIVES[spec.objective](), spec.batch_size
    optimizer = make_optimizer(spec.optimizer, model.parameters())
    losses: list[float] = []

    def run(ticks: int) -> None:
        for tick in range(ticks):
            first = tick * size % (len(whole.inputs) - size + 1)
            outputs = called(whole.inputs[first : first + size])
            loss = criterion(outputs, whole.targets[first : first + size])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())

    return run


def _copies(batches: Any) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [tuple(each.clone() for each in batches.batch(tick)) for tick in range(1, 9)]


def loop_compiled() -> float:
    """Seconds to compile graph's loop."""
    with tempfile.TemporaryDirectory() as folder:
        return timed(lambda _: build_loop.compile_loop(Path(folder)), 1)


def timed(run: Run, ticks: int) -> float:
    """Seconds of a run."""
    began = time.perf_counter()
    run(ticks)
    return time.perf_counter() - began
