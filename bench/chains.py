"""Graph with and without its chains of elementwise operators, beside the hand-written loop.

Processor time, in turn, in one process: neighbours count little, but they take the shared cache.
Without chains, every operator is a call of torch's own kernel, as graph was before.
"""

import time
from functools import partial
from typing import Any
from unittest import mock

from bench.article_loop import SEED_SPEC
from bench.engines import CPU, GPT, WIDE, Run, make_hand_written_loop
from bench.report import Figure, ratio
from bench.timing import measure_in_turn
from jobs.spec.job_spec import JobSpec
from jobs.spec.reading import read_spec
from ticks import machine
from ticks.engines.graph import program
from ticks.training import TrainingRun

TEN_MILLION = {**WIDE, "model": {"family": "mlp", "hidden": [2200, 2200, 2200]}}
#: net -> its spec, ticks of a round of the loop, and times as many of graph
NETS: dict[str, tuple[dict[str, Any], int, int]] = {
    "seed's net": (SEED_SPEC, 500, 10),
    "mlp 512-512-512, batch 32": ({**WIDE, "batch_size": 32}, 30, 1),
    "mlp 512-512-512, batch 64": (WIDE, 30, 1),
    "mlp 512-512-512, batch 64, clipped": ({**WIDE, "clip_norm": 1.0}, 30, 1),
    "mlp of 9.8 million, batch 64": (TEN_MILLION, 3, 1),
    "GPT 4 x 128, batch 16 x 64": (GPT, 3, 1),
}


def measure(rounds: int) -> list[Figure]:
    """Measure all nets; ratios are of what was run in the same round."""
    machine.configure_torch(1)
    figures = []
    for net, (body, ticks, factor) in NETS.items():
        spec = read_spec({**body, "budget": {"ticks": 10**9}}, max_parameters=2 * 10**7)
        graph, unfused = TrainingRun(spec, CPU, engine="graph").run, run_without_chains(spec)
        timers = {
            "loop": partial(seconds_per_tick, make_hand_written_loop(spec), ticks),
            "graph": partial(seconds_per_tick, graph, ticks * factor),
            "graph without chains": partial(seconds_per_tick, unfused, ticks * factor),
        }
        seconds = measure_in_turn(timers, rounds, warmup_rounds=1)
        for name, values in seconds.items():
            figures.append(Figure(f"{net}: {name}", "ticks/s", [1 / value for value in values]))
        for name in ("graph without chains", "loop"):
            title = f"{net}: graph against {name if name != 'loop' else 'the loop'}"
            figures.append(ratio(title, seconds[name], seconds["graph"]))
    return figures


def run_without_chains(spec: JobSpec) -> Run:
    """Return a training by graph whose programs have no chains."""
    training = TrainingRun(spec, CPU, engine="graph")
    with mock.patch.object(program, "has_torch_bits", lambda _template: False):
        training.run(2)
    return training.run


def seconds_per_tick(run: Run, ticks: int) -> float:
    """Return the seconds of processor time that a tick takes."""
    started = time.process_time()
    run(ticks)
    return (time.process_time() - started) / ticks
