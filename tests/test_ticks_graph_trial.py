"""The ticks of a trial are the job's own, and what is proven is not tried again."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jobs.spec.engines import MAX_TRIAL_TICKS, count_kept_ticks, count_trial_ticks
from jobs.spec.job_spec import JobSpec
from tests.needs import CPP_COMPILER, needs
from tests.test_ticks_chunks import OVERFLOWING
from tests.training_records import CPU, read_small_spec, run_and_record
from ticks import machine, state_files
from ticks.engines import graph_trial, proofs, selection
from ticks.engines.eager import EagerEngine
from ticks.engines.graph import build_loop, loop
from ticks.engines.graph.engine import GraphEngine
from ticks.engines.graph_trial import TrialRules
from ticks.state import state_digest
from ticks.training import TrainingRun

pytestmark = needs(CPP_COMPILER)

GRAPH: dict[str, Any] = {"compute": {"engine": "graph"}, "budget": {"ticks": 150}}
ADAMW: dict[str, Any] = GRAPH | {"optimizer": {"name": "adamw"}}
HELD_OUT: dict[str, Any] = {"validation": {"fraction": 0.25, "every_ticks": 20}}
CANARY = "0" * 32


def job_id(*, is_retried: bool) -> str:
    """Return a job's id that the rule of one in twenty takes, or does not."""
    ids = (f"job_{number}" for number in range(10_000))
    return next(name for name in ids if proofs.is_retrial_due(name) is is_retried)


PROVABLE = TrialRules(keeps_ticks=True, canary=CANARY, job=job_id(is_retried=False))
RETRIED = PROVABLE._replace(job=job_id(is_retried=True))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty cache folder but for the compiled loop."""
    compiled = build_loop.find_or_compile()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = build_loop.default_folder()
    folder.mkdir(parents=True, mode=0o700)
    (folder / compiled.name).symlink_to(compiled)
    return folder


class CountingEagerEngine(EagerEngine):
    """Eager, and how many ticks it was asked for."""

    ticks = 0

    def run(self, ticks: int) -> Any:
        type(self).ticks += ticks
        return super().run(ticks)


@pytest.fixture
def eager_ticks(monkeypatch: pytest.MonkeyPatch) -> type[CountingEagerEngine]:
    monkeypatch.setattr(selection, "EagerEngine", CountingEagerEngine)
    monkeypatch.setattr(CountingEagerEngine, "ticks", 0)
    return CountingEagerEngine


def train(spec: JobSpec, rules: TrialRules = PROVABLE) -> TrainingRun:
    machine.configure_torch(1)
    return TrainingRun(spec, CPU, trial_rules=rules)


OWN_TICKS: dict[str, tuple[dict[str, Any], int]] = {
    "all, where nothing is decided before": ({}, MAX_TRIAL_TICKS),
    "all of a shorter job": ({"budget": {"ticks": 9}}, 9),
    "up to the first validation": (HELD_OUT, 20),
    "up to the first look at the loss": (
        {"stop": {"check_every": 7, "target": {"metric": "loss", "below": 0}}}, 7,
    ),
    "all, where no rule looks at the loss": ({"stop": {"check_every": 7}}, MAX_TRIAL_TICKS),
    "up to the first save": ({"checkpoint": {"every_ticks": 5}}, 5),
    "none before a save of tick 0": ({"checkpoint": {"at_start": True}}, 0),
}  # fmt: skip


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("case", OWN_TICKS)
def test_a_trial_keeps_its_ticks_up_to_the_first_decision(
    case: str, optimizer: str, cache: Path
) -> None:
    changes, count = OWN_TICKS[case]
    spec = read_small_spec(**GRAPH | {"optimizer": {"name": optimizer}} | changes)
    straight = TrainingRun(spec, CPU, engine="eager")
    training = train(spec)
    assert training.engine.name == "graph" and training.ticks_done == count
    assert count == count_kept_ticks(spec)
    assert run_and_record(training) == run_and_record(straight)


def test_of_a_large_net_no_part_of_a_trial_is_kept(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph_trial, "MAX_COPIED_PARAMETERS", 10)
    assert train(read_small_spec(**ADAMW | HELD_OUT)).ticks_done == 0
    assert train(read_small_spec(**ADAMW), RETRIED).ticks_done == MAX_TRIAL_TICKS


@pytest.mark.parametrize("lengths", [64, 65, 100])
def test_chunks_after_kept_ticks_are_those_of_a_straight_training(
    lengths: int, cache: Path
) -> None:
    spec = read_small_spec(**ADAMW | {"validation": {"fraction": 0.25, "every_ticks": 70}})
    records = [
        run_and_record(training, [lengths] * 10)
        for training in (train(spec), TrainingRun(spec, CPU, engine="eager"))
    ]
    assert records[0] == records[1]


def test_a_proven_program_is_not_tried_again(
    cache: Path, eager_ticks: type[CountingEagerEngine]
) -> None:
    spec = read_small_spec(**ADAMW)
    record = run_and_record(train(spec))
    assert (
        eager_ticks.ticks == MAX_TRIAL_TICKS - 1
    )  # the engine runs the first, which makes tensors
    for again in (read_small_spec(**ADAMW), read_small_spec(**ADAMW, seed=3)):
        training = train(again)
        assert training.engine.name == "graph" and training.ticks_done == 0
        assert "its programs are proven" in training.engine_note
    assert eager_ticks.ticks == MAX_TRIAL_TICKS - 1
    assert run_and_record(train(spec)) == record


NOT_PROVEN: dict[str, tuple[dict[str, Any], TrialRules]] = {
    "another net": ({"model": {"family": "mlp", "hidden": [5]}}, PROVABLE),
    "another canary": ({}, PROVABLE._replace(canary="1" * 32)),
    "one job in twenty": ({}, RETRIED),
    "no canary": ({}, PROVABLE._replace(canary=None)),
}


@pytest.mark.parametrize("case", NOT_PROVEN)
def test_what_is_not_proven_is_tried(
    case: str, cache: Path, eager_ticks: type[CountingEagerEngine]
) -> None:
    changes, rules = NOT_PROVEN[case]
    train(read_small_spec(**ADAMW))
    before = eager_ticks.ticks
    training = train(read_small_spec(**ADAMW | changes), rules)
    assert eager_ticks.ticks > before and "proven" not in training.engine_note


def test_proven_programs_are_tried_again_for_one_job_in_twenty() -> None:
    due = sum(proofs.is_retrial_due(f"job_{number}") for number in range(10_000))
    assert 400 < due < 600


def flip(files: list[Path]) -> None:
    for file in files:
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)


def swap(files: list[Path]) -> None:
    contents = [file.read_bytes() for file in files]
    for file, content in zip(files, contents[1:] + contents[:1], strict=True):
        file.write_bytes(content)


def cut(files: list[Path]) -> None:
    for file in files:
        file.write_bytes(file.read_bytes()[:-1])


@pytest.mark.parametrize("alter", [flip, swap, cut])
def test_an_altered_proof_proves_nothing_and_is_removed(
    alter: Any, cache: Path, eager_ticks: type[CountingEagerEngine]
) -> None:
    spec = read_small_spec(**ADAMW, batch_size=30)  # of 32: programs of 30 and 2 rows
    train(spec)
    files = sorted((cache / proofs.FOLDER).iterdir())
    assert len(files) == 2
    alter(files)
    before = eager_ticks.ticks
    training = train(spec)
    assert eager_ticks.ticks > before and "proven" not in training.engine_note
    assert "proven" in train(spec).engine_note  # the trial has proven them again


def test_a_proof_of_another_loop_proves_nothing(cache: Path) -> None:
    spec = read_small_spec(**ADAMW)
    train(spec)
    (loop,) = cache.glob("*.so")
    other = loop.read_bytes() + b"\0"
    digest = hashlib.sha256(other).hexdigest()[:16]
    loop.unlink()
    loop.with_name(f"{loop.stem.rpartition('-')[0]}-{digest}.so").write_bytes(other)
    assert "proven" not in train(spec).engine_note


class Off(GraphEngine):
    """A graph whose rates are off by some ulps of float32."""

    def _numbers(self, first: int, count: int) -> Any:
        return super()._numbers(first, count) * (1 + 2**-20)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_difference_throws_the_proof_away_and_eager_trains(
    optimizer: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = read_small_spec(**GRAPH, optimizer={"name": optimizer, "lr": 0.01})
    train(spec)
    monkeypatch.setitem(selection.ENGINE_CLASSES, "graph", Off)
    training = train(spec, RETRIED)
    assert training.engine.name == "eager" and training.is_fallback
    assert training.engine_note.endswith("; its proof is thrown away")
    assert not list((cache / proofs.FOLDER).iterdir())
    assert run_and_record(training) == run_and_record(TrainingRun(spec, CPU, engine="eager"))


def test_a_trial_that_a_loss_which_is_not_finite_ended_proves_nothing(cache: Path) -> None:
    train(read_small_spec(**GRAPH | OVERFLOWING))
    assert not list((cache / proofs.FOLDER).glob("*"))


def test_a_program_is_proven_once_enough_of_its_ticks_were_compared(cache: Path) -> None:
    sgd = {"optimizer": {"name": "sgd", "lr": 0.01}}
    few = read_small_spec(**GRAPH | sgd | {"budget": {"ticks": 3}})
    notes = [train(few).engine_note for _ in range(4)]
    assert ["proven" in note for note in notes] == [False, False, False, True]
    assert "proven" in train(read_small_spec(**GRAPH | sgd)).engine_note


def test_a_net_whose_ticks_are_slow_is_tried_for_fewer(cache: Path) -> None:
    fast, slow = (
        read_small_spec(**GRAPH, batch_size=32, model={"family": "mlp", "hidden": hidden})
        for hidden in ([4], [3000, 3000])
    )
    assert (
        count_trial_ticks(fast) == MAX_TRIAL_TICKS > count_trial_ticks(slow) >= proofs.PROOF_TICKS
    )


SMALL_LAST: dict[str, Any] = {  # the 71st tick of an epoch is of 3 rows
    **ADAMW,
    "data": {"source": "synthetic", "kind": "regression", "samples": 8 * 70 + 3, "features": 2},
    "budget": {"ticks": 150},
}


class WrongLast(GraphEngine):
    """A graph that calls a wrong kernel in ticks of three rows."""

    def _bind(self, batch_range: Any) -> None:
        super()._bind(batch_range)
        if 3 in self._programs and self._programs[3].text.count("relu:o0:I1:n"):
            program = self._programs[3]
            text = program.text.replace("relu:o0:I1:n", "multiply:o0:I1:f0.5", 1)
            self._programs[3] = loop.LoadedProgram(text, program.tensors)


@pytest.mark.parametrize("engine", [GraphEngine, WrongLast])
def test_a_program_that_is_first_needed_later_is_tried_then(
    engine: type[GraphEngine],
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    spec = read_small_spec(**SMALL_LAST)
    monkeypatch.setitem(selection.ENGINE_CLASSES, "graph", engine)
    training = train(spec)
    assert training.engine.name == "graph"
    assert run_and_record(training) == run_and_record(TrainingRun(spec, CPU, engine="eager"))
    is_wrong = engine is WrongLast
    assert (
        "eager runs all ticks of 3 rows: loss of tick 71" in capsys.readouterr().out
    ) is is_wrong


def test_a_folder_that_cannot_be_written_leaves_every_job_tried(
    cache: Path, eager_ticks: type[CountingEagerEngine]
) -> None:
    (cache / proofs.FOLDER).write_text("in the way")
    spec = read_small_spec(**ADAMW)
    for _ in range(2):
        before = eager_ticks.ticks
        assert train(spec).engine.name == "graph" and eager_ticks.ticks > before


def test_the_oldest_proofs_are_removed_beyond_a_number(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proofs, "MAX_PROOFS", 2)
    for width in (3, 4, 5):
        train(read_small_spec(**GRAPH, model={"family": "mlp", "hidden": [width]}))
    assert len(list((cache / proofs.FOLDER).iterdir())) == 2


def test_a_state_loaded_after_the_trial_replaces_its_ticks(cache: Path, tmp_path: Path) -> None:
    spec = read_small_spec(**ADAMW)
    straight = TrainingRun(spec, CPU, engine="eager")
    run_and_record(straight, until=10)
    folder = tmp_path / "saved"
    folder.mkdir()
    state_files.save(straight, folder)
    training = train(spec)
    state_files.load(training, folder)
    assert training.ticks_done == 10
    assert run_and_record(training) == run_and_record(straight)
    assert state_digest(training.trainer) == state_digest(straight.trainer)


def test_trials_teach_the_rule_what_ticks_cost_here(cache: Path) -> None:
    spec = read_small_spec(**ADAMW | {"compute": {"engine": "auto"}, "budget": {"ticks": 5000}})
    assert "measured" not in train(spec).engine_note
    again = train(spec)
    assert again.engine_note.endswith("as measured here; its programs are proven")
    losses = again.run(100).chunk.columns["loss"]
    assert np.isfinite(losses).all()
