"""Which engine trains a job: the rule, the trial, the reasons that are shown, the refusals."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from jobs import fault_points
from jobs.plan import plan
from jobs.spec.base import InvalidSpec
from jobs.spec.engines import ENGINES, MIN_NATIVE_TICKS, choose_engine
from jobs.spec.job_spec import JobSpec
from jobs.spec.reading import read_spec
from tests.native_runs import QUICK, needs_compiler, objects_folder
from tests.needs import CPP_COMPILER, needs
from tests.training_records import CPU, read_small_spec
from ticks import machine
from ticks.engines import selection as choosing
from ticks.engines.chunk import engine_identity
from ticks.engines.graph.engine import GraphEngine
from ticks.engines.native import codegen
from ticks.engines.native.engine import NativeEngine
from ticks.state import state_digest
from ticks.training import TrainingRun

EXAMPLES = Path(__file__).parent.parent / "examples"
TEXT: dict[str, Any] = {
    "model": {"family": "transformer_lm", "layers": 4, "width": 128},
    "data": {"source": "example", "name": "genesis", "window": 64},
    "batch_size": 16,
}
LONG: dict[str, Any] = {"budget": {"ticks": MIN_NATIVE_TICKS}}
BATCH_NORM = {"model": {"family": "mlp", "hidden": [4], "norm": "batch"}}
needs_graph = needs(CPP_COMPILER)


def article(program: str) -> JobSpec:
    return read_spec(json.loads((EXAMPLES / f"{program}.json").read_text()), max_parameters=10**6)


def train(spec: JobSpec, engine: str | None = None) -> TrainingRun:
    machine.configure_torch(1)
    return TrainingRun(spec, CPU, engine=engine)


RULE: dict[str, tuple[dict[str, Any], str]] = {
    "a short job": ({"budget": {"ticks": 20}}, "eager"),
    "a job of thousands of ticks": ({"budget": {"ticks": 5000}}, "graph"),
    "a long job of a small net": (LONG, "native"),
    "a long job outside native's class": (LONG | BATCH_NORM, "graph"),
    "a long job of a large net": (
        LONG | {"model": {"family": "mlp", "hidden": [2048, 2048]}}, "graph",
    ),
    "a short job of a language model": (TEXT | {"budget": {"ticks": 100}}, "eager"),
    "a long job of a language model": (TEXT | {"budget": {"ticks": 10**6}}, "graph"),
    "a long time": ({"budget": {"seconds": 3600}}, "graph"),
    "a named engine": (LONG | {"compute": {"engine": "eager"}}, "eager"),
}  # fmt: skip


@pytest.mark.parametrize("case", RULE)
def test_the_rule_chooses_and_says_why(case: str) -> None:
    changes, expected = RULE[case]
    name, why = choose_engine(read_small_spec(**changes), ENGINES, ready=ENGINES)
    assert name == expected and len(why) > 10


@pytest.mark.parametrize("program", ["seed_layernorm", "seed_plain"])
def test_the_articles_programs_have_torchs_bits_wherever_they_are_trained(program: str) -> None:
    for have in (["eager"], ["eager", "graph"], ["eager", "native"], ENGINES):
        for ready in ([], have):
            assert choose_engine(article(program), have, ready).name in ("eager", "graph")


@pytest.mark.parametrize("case", RULE)
def test_the_object_cache_never_chooses_between_different_bits(case: str) -> None:
    spec = read_small_spec(**RULE[case][0])
    cold, warm = (
        choose_engine(spec, ENGINES, ready=[]).name,
        choose_engine(spec, ENGINES, ready=ENGINES).name,
    )
    assert (cold == "native") == (warm == "native")


def test_a_loop_that_must_be_compiled_first_must_be_worth_it() -> None:
    spec = read_small_spec(budget={"ticks": 5000})
    assert choose_engine(spec, ENGINES, ready=["eager"]).name == "eager"
    assert (
        choose_engine(read_small_spec(budget={"ticks": 900_000}), ENGINES, ready=["eager"]).name
        == "graph"
    )


def test_without_a_compiler_everything_is_eager() -> None:
    assert choose_engine(read_small_spec(**LONG), ["eager"], ready=["eager"]).name == "eager"


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "native for a language model": (
        TEXT | {"budget": {"ticks": 5}, "compute": {"engine": "native"}}, "transformer_lm",
    ),
    "native for BatchNorm": (BATCH_NORM | {"compute": {"engine": "native"}}, "batch"),
    "native in bfloat16": (
        {"compute": {"engine": "native", "precision": "bfloat16"}}, "bfloat16",
    ),
    "graph on a GPU": ({"compute": {"engine": "graph", "device": "cuda"}}, "cuda"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_an_engine_that_cannot_train_the_spec_is_refused_with_the_reason(case: str) -> None:
    changes, reason = REFUSED[case]
    with pytest.raises(InvalidSpec) as refused:
        read_small_spec(**changes)
    (fault,) = refused.value.errors
    assert fault.pointer == "/compute/engine" and reason in fault.detail


def test_auto_trains_anything() -> None:
    planned = plan(read_small_spec(**LONG, compute={"device": "cuda"}), [])
    assert planned.engine.likely == "eager" and "GPU" in planned.engine.why


def test_the_plan_says_which_engine_is_likely_and_why() -> None:
    planned = plan(read_small_spec(budget={"ticks": 5000}), [])
    assert (planned.engine.likely, planned.engine.workers) == ("graph", 0)
    assert "saves" in planned.engine.why
    worker = {"queue": "cpu", "engines": ["eager"]}
    assert plan(read_small_spec(budget={"ticks": 5000}), [worker]).engine.likely == "eager"


@needs_graph
def test_a_history_keeps_its_engine() -> None:
    short, long = read_small_spec(), read_small_spec(budget={"ticks": 900_000})
    assert train(short).engine.name == "eager"
    assert train(short, engine="graph").engine.name == "graph"
    assert train(long, engine="eager").engine.name == "eager"


def test_a_machine_that_lacks_a_jobs_engine_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    assert choosing.available_engines() == ["eager"]
    with pytest.raises(choosing.MissingEngine, match="engine graph .* no compiler"):
        train(read_small_spec(), engine="graph")
    with pytest.raises(choosing.MissingEngine, match="engine native .* no compiler"):
        train(read_small_spec(compute={"engine": "native"}))
    assert train(read_small_spec(**LONG)).engine.name == "eager"


@needs_graph
def test_the_trial_leaves_the_state_as_it_was() -> None:
    fields: dict[str, Any] = {
        "optimizer": {"name": "adamw"},
        "model": {"family": "mlp", "hidden": [4], "norm": "batch"},
    }
    gated = train(read_small_spec(**fields, compute={"engine": "graph"}))
    plain = train(read_small_spec(**fields, compute={"engine": "eager"}))
    assert gated.engine.name == "graph" and gated.engine_note == "the spec names it"
    assert gated.ticks_done == 0 and not gated.trainer.optimizer.state
    assert state_digest(gated.trainer) == state_digest(plain.trainer)


class Off(GraphEngine):
    """A graph whose rates are off by some ulps of float32."""

    def _numbers(self, first: int, k: int) -> Any:
        return super()._numbers(first, k) * (1 + 2**-20)


@needs_graph
def test_an_engine_that_differs_in_the_trial_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(choosing.ENGINE_CLASSES, "graph", Off)
    training = train(read_small_spec(compute={"engine": "graph"}))
    assert training.engine.name == "eager" and training.ticks_done == 0
    assert training.engine_note.startswith("graph was tried and not taken: ")
    assert training.is_fallback


DROPPING: dict[str, Any] = {
    "model": {"family": "mlp", "hidden": [6], "dropout": 0.4},
    "optimizer": {"name": "adam"},
    "compute": {"engine": "native"},
}


@pytest.fixture
def objects(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compile as the tests of native do: the same bits, sooner."""
    maker = partial(NativeEngine, folder=objects_folder(), flags=QUICK)
    monkeypatch.setitem(choosing.ENGINE_CLASSES, "native", maker)


@needs_compiler
def test_native_passes_the_trial_with_dropout_though_its_masks_are_its_own(objects: None) -> None:
    training = train(read_small_spec(**DROPPING))
    dropouts = [item.p for item in training.trainer.net.modules() if isinstance(item, nn.Dropout)]

    assert (training.engine.name, training.is_fallback) == ("native", False)
    assert dropouts == [0.4]
    eager = train(read_small_spec(**DROPPING | {"compute": {"engine": "eager"}}))
    ours, theirs = (item.run(20).chunk.columns["loss"] for item in (training, eager))
    assert not np.allclose(ours, theirs, rtol=1e-2)  # the gate would not have let that pass


@needs_compiler
def test_a_native_engine_that_computes_something_else_is_not_taken(
    objects: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    template, right = codegen.read_template, "rate / (1.0 - power(job->beta1, (long)step))"
    assert right in template("optimizers")
    monkeypatch.setattr(
        codegen, "read_template", lambda name: template(name).replace(right, "rate")
    )
    training = train(read_small_spec(**DROPPING))

    assert (training.engine.name, training.is_fallback) == ("eager", True)
    assert training.engine_note.startswith("native was tried and not taken: loss of tick ")
    assert training.ticks_done == 0


@pytest.mark.parametrize("engine", choosing.available_engines())
def test_with_fault_points_every_engine_passes_one_after_each_tick_and_gives_equal_bits(
    objects: None, engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = read_small_spec(compute={"engine": engine}, budget={"ticks": 9})
    plain = train(spec)
    losses = plain.run(9).chunk.columns["loss"]
    monkeypatch.setattr(fault_points, "_faults_folder", tmp_path)
    training = train(spec)
    fault = {"point": "tick", "action": "raise", "at": 4}
    (tmp_path / "one.fault").write_text(json.dumps(fault))

    with pytest.raises(fault_points.InjectedFault):
        training.run(9)

    assert training.ticks_done == 4
    assert np.array_equal(training.run(5).chunk.columns["loss"], losses[4:])
    assert state_digest(training.trainer) == state_digest(plain.trainer)


@needs_graph
def test_a_fingerprint_names_the_engine_with_its_version() -> None:
    assert engine_identity(train(read_small_spec()).engine) == "eager"
    graph = train(read_small_spec(), engine="graph").engine
    assert engine_identity(graph) == f"graph-{graph.version}"
