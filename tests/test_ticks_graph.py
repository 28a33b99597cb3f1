"""The graph engine is eager, bit for bit: losses, norms, decisions, validation and state.

Every comparison is of all that a training says and of its state's digest. At the end, what shows
that a graph which is not eager would be seen.
"""

import random
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest

from jobs.spec.job_spec import JobSpec
from jobs.spec.reading import read_spec
from tests.needs import CPP_COMPILER, needs
from tests.test_ticks_chunks import ENDS, OVERFLOWING, at_random
from tests.test_ticks_exact_resume import SPECS
from tests.training_records import CPU, join_records, read_small_spec, run_and_record
from ticks import machine, state_files
from ticks.engines import trial
from ticks.engines.eager import EagerEngine
from ticks.engines.graph import loop
from ticks.engines.graph.engine import GraphEngine
from ticks.state import state_digest
from ticks.training import TrainingRun

pytestmark = needs(CPP_COMPILER)

ADAPTIVE: list[dict[str, Any]] = [{"name": "adam"}, {"name": "adamw"}]
DESCENTS: list[dict[str, Any]] = [
    {"name": "sgd", "lr": 0.05},
    {"name": "sgd", "lr": 0.05, "momentum": 0.9},
    {"name": "sgd", "lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
]


def begin(spec: JobSpec, engine: str) -> TrainingRun:
    machine.configure_torch(1)
    return TrainingRun(spec, CPU, engine=engine)


def text(**changes: Any) -> JobSpec:
    model = {"family": "transformer_lm", "layers": 2, "heads": 2, "width": 16}
    body = {
        "model": model | changes.pop("model", {}),
        "data": {"source": "example", "name": "genesis", "window": 24},
        "budget": {"ticks": 8},
        "batch_size": 4,
    }
    return read_spec({**body, **changes}, max_parameters=10**7)


TEXTS: dict[str, JobSpec] = {
    "norm before": text(),
    "norm after": text(model={"norm_position": "post", "norm": "rms", "activation": "silu"}),
    "dropout, own logits": text(model={"tied_embeddings": False, "dropout": 0.2}),
    "parts and clipping": text(micro_batches=2, clip_norm=0.5, record=["loss", "grad_norm"]),
    "bfloat16": text(compute={"precision": "bfloat16"}, clip_norm=0.5),
}


def drawn(number: int) -> JobSpec:
    """One of many specs of the mlp, a function of its number."""
    draw = random.Random(number)
    norm = draw.choice(["layer", "rms", "group", "batch", "layer+batch", "none"])
    parts = 1 if "batch" in norm else draw.choice([1, 1, 2, 3])
    data = {
        "source": "synthetic", "kind": draw.choice(["regression", "classification"]),
        "samples": 44, "features": draw.choice([1, 3, 10]), "shuffle": draw.random() < 0.5,
    }  # fmt: skip
    return read_small_spec(
        data=data, optimizer=draw.choice(ADAPTIVE + DESCENTS), micro_batches=parts,
        model={
            "family": "mlp", "hidden": draw.choice([[7], [16, 9], [64, 64]]), "norm": norm,
            "activation": draw.choice(["relu", "gelu", "silu", "tanh", "sigmoid"]),
            "dropout": draw.choice([0.0, 0.0, 0.3]),
        },
        schedule={"name": draw.choice(["constant", "linear", "cosine"]), "warmup_ticks": 3},
        batch_size=draw.choice([4, 10, 44]), clip_norm=draw.choice([None, 0.3]),
        record=draw.choice([["loss"], ["loss", "grad_norm"]]), budget={"ticks": 24},
    )  # fmt: skip


@pytest.mark.parametrize("number", range(40))
def test_a_drawn_spec_gives_the_bits_of_eager(number: int) -> None:
    spec = drawn(number)
    assert run_and_record(begin(spec, "graph")) == run_and_record(begin(spec, "eager"))


@pytest.mark.parametrize("name", SPECS)
def test_a_spec_of_all_that_has_a_state_gives_the_bits_of_eager(name: str) -> None:
    assert run_and_record(begin(SPECS[name], "graph")) == run_and_record(
        begin(SPECS[name], "eager")
    )


@pytest.mark.parametrize("name", TEXTS)
def test_a_language_model_gives_the_bits_of_eager(name: str) -> None:
    assert run_and_record(begin(TEXTS[name], "graph")) == run_and_record(
        begin(TEXTS[name], "eager")
    )


@pytest.mark.parametrize("end", ENDS)
def test_graph_ends_where_eager_ends_whatever_the_chunks(end: str) -> None:
    changes, _ = ENDS[end]
    spec = read_small_spec(**changes)
    eager = run_and_record(begin(spec, "eager"))
    for lengths in (repeat(1), repeat(7), repeat(1000), at_random(3)):
        assert run_and_record(begin(spec, "graph"), lengths) == eager


def test_a_tick_whose_loss_is_not_finite_changes_nothing() -> None:
    batch_norm = {"family": "mlp", "hidden": [4], "norm": "batch"}
    spec = read_small_spec(
        **OVERFLOWING | {"model": batch_norm, "batch_size": 4, "budget": {"ticks": 30}}
    )
    training = begin(spec, "graph")
    run_and_record(training, until=7)
    before = state_digest(training.trainer)
    ran = training.run(5)
    assert ran.chunk.nonfinite and ran.chunk.count == 1 and training.ticks_done == 7
    assert state_digest(training.trainer) == before


def test_eager_and_graph_take_turns_at_one_history(tmp_path: Path) -> None:
    spec = SPECS["adamw"]
    record, names = None, ["graph", "eager", "graph", "eager"]
    for number, name in enumerate(names, 1):
        training = begin(spec, name)
        if record is not None:
            state_files.load(training, tmp_path / str(number - 1))
        part = run_and_record(training, until=number * 10)
        record = part if record is None else join_records(record, part)
        folder = tmp_path / str(number)
        folder.mkdir()
        state_files.save(training, folder)
    assert record == run_and_record(begin(spec, "eager"))


def test_a_state_put_back_under_way_is_what_it_goes_on_from(tmp_path: Path) -> None:
    training = begin(SPECS["adamw"], "graph")
    run_and_record(training, until=8)
    state_files.save(training, tmp_path)
    first = run_and_record(training, until=16)
    state_files.load(training, tmp_path)
    assert run_and_record(training, until=16) == first


def test_large_values_are_made_anew_as_in_eager() -> None:
    wide = {"family": "mlp", "hidden": [700, 700]}
    spec = read_small_spec(model=wide, batch_size=32, budget={"ticks": 4}, clip_norm=1.0)
    training = begin(spec, "graph")
    assert run_and_record(training) == run_and_record(begin(spec, "eager"))
    assert any("drop" in program.text for program in training.engine._programs.values())


# What a graph that is not eager looks like.


TRIED_TICKS = 20


class Off(GraphEngine):
    """A graph whose rates are off by some ulps of float32."""

    def _numbers(self, first: int, k: int) -> Any:
        return super()._numbers(first, k) * (1 + 2**-20)


class Wrong(GraphEngine):
    """A graph that runs one wrong kernel."""

    def _bind(self, stretch: Any) -> None:
        super()._bind(stretch)
        for rows, program in self._programs.items():
            if "relu:o0:I1:n" in program.text:
                self._programs[rows] = spoilt(program)


def spoilt(program: loop.LoadedProgram) -> loop.LoadedProgram:
    lines = program.text.split("\n")
    (at,) = [n for n, line in enumerate(lines) if "relu:o0:I1:n" in line]
    lines[at] = lines[at].replace("relu:o0:I1:n", "multiply:o0:I1:f0.5")
    return loop.LoadedProgram("\n".join(lines), program.tensors)


def compared(engine: type[GraphEngine], spec: JobSpec) -> str | None:
    training = begin(spec, "eager")
    trainer = training.trainer
    fast, eager = engine(trainer, spec.record), EagerEngine(trainer, spec.record)
    return trial.try_exactly(fast, eager, trainer, ticks=TRIED_TICKS, kept_ticks=20).difference


@pytest.mark.parametrize("engine", [Off, Wrong])
def test_the_trial_sees_a_graph_that_differs_from_eager(engine: type[GraphEngine]) -> None:
    spec = read_small_spec(optimizer={"name": "sgd", "lr": 0.1})
    assert compared(GraphEngine, spec) is None
    differs = compared(engine, spec)
    assert differs is not None and ("loss of tick" in differs or "another state" in differs)


class Moved(GraphEngine):
    """A graph that moves a parameter after its last tick, which no loss shows."""

    def run(self, ticks: int) -> Any:
        chunk = super().run(ticks)
        if self.trainer.ticks_done == TRIED_TICKS:
            self.trainer.parameters[-1].data.add_(1e-3)
        return chunk


def test_the_trial_sees_a_state_that_differs_from_eagers() -> None:
    spec = read_small_spec(optimizer={"name": "sgd", "lr": 0.1})
    assert compared(Moved, spec) == "equal losses, but another state than eager's"


def test_the_comparison_of_trainings_sees_a_graph_that_differs_too() -> None:
    spec = read_small_spec(optimizer={"name": "sgd", "lr": 0.1})
    training = begin(spec, "eager")
    training.engine = Off(training.trainer, spec.record)
    assert run_and_record(training) != run_and_record(begin(spec, "eager"))


def test_a_program_that_cannot_be_read_says_why() -> None:
    with pytest.raises(loop.BrokenProgram, match="no such instruction: jump"):
        loop.LoadedProgram("jump t0", [])
    with pytest.raises(loop.BrokenProgram, match="aten::no_such"):
        loop.LoadedProgram("call aten::no_such - ->", [])
