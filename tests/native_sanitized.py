"""Run in a process of its own, under the sanitizers: generated specs, solo, evaluated, in lanes.

Every array that the C code may touch is its own allocation of the exact size, so that a step beyond
it is seen. Says NOTHING_FOUND if nothing was found, and then makes a step that must be.
"""

import os
import sys
from pathlib import Path
from typing import Any

import torch

from tests.native_specs import draw_spec, make_trainer
from ticks.engines.native import codegen
from ticks.engines.native.compiler import FLAGS
from ticks.engines.native.engine import NativeEngine
from ticks.engines.native.lanes import LaneBatch
from ticks.metrics.evaluation import make_metrics
from ticks.trainer import Trainer

SANITIZED = (
    *("-O0" if flag == "-O3" else flag for flag in FLAGS),  # sooner compiled than any other
    "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all",
)  # fmt: skip


NOTHING_FOUND = "the sanitizers found nothing"


def run_specs(folder: Path, numbers: list[int]) -> None:
    """Run the specs of these numbers."""
    for number in numbers:
        model = {"dropout": 0.25 * (number % 2)}
        engine = NativeEngine(_make_trainer(number, model), ["loss"], folder, SANITIZED)
        engine.run(9)
        engine.run(3)
        rows = engine.trainer.batches.rows  # type: ignore[attr-defined]
        spec = engine.trainer.spec
        config = {"objective": spec.objective, "outputs": spec.profile.outputs}
        engine.evaluate(rows, make_metrics(config))
        trainers = [_make_trainer(number, model) for _ in range(3)]
        LaneBatch(trainers, ["loss"], 8, folder, SANITIZED).run([9, 4, 0])


def _make_trainer(number: int, model: dict[str, Any]) -> Trainer:
    spec = draw_spec(number)
    return make_trainer(spec.model_copy(update={"model": spec.model.model_copy(update=model)}))


def step_beyond_an_array(folder: Path, number: int) -> None:
    """Run a spec with templates that read beyond the inputs of a row."""
    sound = codegen.read_template
    codegen.read_template = lambda name: sound(name).replace("k < INPUTS", "k < 40 * INPUTS")
    run_specs(folder, [number])


def main(folder: str, broken: str, *sound: str) -> None:
    """Run the specs of these numbers, the one of `broken` last."""
    torch.set_num_threads(1)
    run_specs(Path(folder), list(map(int, sound)))
    print(NOTHING_FOUND, flush=True)
    step_beyond_an_array(Path(folder), int(broken))


if __name__ == "__main__":
    main(*sys.argv[1:])
    os._exit(0)  # leaks at an interpreter's end are not ours
