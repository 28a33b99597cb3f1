"""The rule that chooses between eager and graph, against the rates of both, in one process.

For nets of many shapes: what graph saves per tick, as measured and by the rule's constants, and in
how many of them the rule's choice at some lengths of jobs is the faster one.
"""

import math
import statistics
import time
from functools import partial
from typing import Any

import torch

from bench.engines import make_spec
from bench.report import Figure
from bench.timing import measure_in_turn
from jobs.spec.engines import ENGINES, TickCosts, choose_engine, estimate_saving
from jobs.spec.job_spec import JobSpec
from jobs.spec.reading import read_spec
from jobs.spec.tick_costs import saved_seconds
from ticks import machine
from ticks.training import TrainingRun

CPU = torch.device("cpu")
ROUND_SECONDS = 0.15
JOB_TICKS = (100, 300, 1000, 3000, 10_000)  # lengths of jobs for which the rule chooses
TABLE = {"source": "synthetic", "kind": "regression", "samples": 512, "features": 16, "seed": 1}


def nets() -> dict[str, dict[str, Any]]:
    """Return specs by name: depths, widths, norms, optimizers, micro-batches, both families."""
    mlps = {
        "mlp 16": {"hidden": [16]}, "mlp 64-64": {"hidden": [64, 64]},
        "mlp 64-64 without norm": {"hidden": [64, 64], "norm": "none"},
        "mlp 32 x 6": {"hidden": [32] * 6}, "mlp 256-256": {"hidden": [256, 256]},
        "mlp 16 x 16": {"hidden": [16] * 16}, "mlp 512 x 3": {"hidden": [512] * 3},
        "mlp 1024 x 2": {"hidden": [1024] * 2},
    }  # fmt: skip
    table = {
        name: {"model": {"family": "mlp", **model}, "data": TABLE} for name, model in mlps.items()
    }
    wide = table["mlp 64-64"]
    table["mlp 64-64 by sgd"] = {**wide, "optimizer": {"name": "sgd", "lr": 0.01}}
    table["mlp 64-64 in 4 micro-batches"] = {**wide, "micro_batches": 4}
    texts = {
        f"GPT {layers} x {width}": {
            "model": {"family": "transformer_lm", "layers": layers, "heads": 4, "width": width},
            "data": {"source": "example", "name": "genesis", "window": 32},
            "batch_size": 8,
        }
        for layers, width in ((1, 32), (2, 64), (4, 64), (2, 128))
    }
    return {**table, **texts}


def measure(rounds: int, shapes: int = 100) -> list[Figure]:
    """Measure each net by both engines in turn; compare with the rule."""
    machine.configure_torch(1)
    figures, ratios, losses = list[Figure](), list[float](), list[float]()
    right = choices = 0
    for name, body in list(nets().items())[:shapes]:
        spec = make_spec(body)
        seconds = _tick_seconds(spec, rounds)
        saved = seconds["eager"] - seconds["graph"]
        ratios.append(saved_seconds(spec) / saved)
        figures.append(Figure(f"{name}: eager", "ticks/s", [1 / seconds["eager"]]))
        figures.append(Figure(f"{name}: graph", "ticks/s", [1 / seconds["graph"]]))
        figures.append(Figure(f"{name}: saved a tick by graph", "us", [1e6 * saved]))
        figures.append(Figure(f"{name}: by the rule", "us", [1e6 * saved_seconds(spec)]))
        for ticks in JOB_TICKS:
            loss = _lost_share(body, seconds, ticks)
            losses.append(loss)
            right, choices = right + (loss == 0), choices + 1
    figures.append(Figure("saved by the rule against measured", "x", ratios))
    figures.append(Figure("time lost by the rule's choice", "%", losses))
    return [*figures, Figure("choices of the faster engine", f"of {choices}", [right])]


def _tick_seconds(spec: JobSpec, rounds: int) -> dict[str, float]:
    runs = {name: TrainingRun(spec, CPU, engine=name).run for name in ("eager", "graph")}
    counts = {name: _count(run) for name, run in runs.items()}
    timers = {name: partial(_time, run, counts[name]) for name, run in runs.items()}
    measured = measure_in_turn(timers, rounds, warmup_rounds=1)
    return {name: statistics.median(values) for name, values in measured.items()}


def _count(run: Any) -> int:
    run(2)
    started = time.perf_counter()
    run(8)
    return max(8, math.ceil(ROUND_SECONDS * 8 / (time.perf_counter() - started)))


def _time(run: Any, ticks: int) -> float:
    started = time.perf_counter()
    run(ticks)
    return (time.perf_counter() - started) / ticks


def _lost_share(body: dict[str, Any], seconds: dict[str, float], ticks: int) -> float:
    """Return in % how much longer a job takes by the rule than by the faster engine."""
    eager = ticks * seconds["eager"]
    spec = read_spec({**body, "budget": {"ticks": ticks}}, max_parameters=10**7)
    saved, cost = estimate_saving(spec, TickCosts(**seconds), is_ready=True)
    times = {"eager": eager, "graph": eager - saved + cost}
    chosen = choose_engine(spec, [name for name in ENGINES if name != "native"], ENGINES).name
    return 100 * (times[chosen] / min(times.values()) - 1)
