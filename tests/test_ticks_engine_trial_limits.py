"""What a trial or a proof does not cover is compared later; damaged caches cost time alone."""

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest
import torch

from jobs.spec.engines import MAX_TRIAL_TICKS, MIN_TRIAL_TICKS, count_kept_ticks
from tests.needs import CPP_COMPILER, needs
from tests.test_ticks_chunks import OVERFLOWING
from tests.test_ticks_graph_trial import (
    ADAMW,
    GRAPH,
    PROVABLE,
    RETRIED,
    SMALL_LAST,
    Off,
    WrongLast,
    cache,
    train,
)
from tests.training_records import CPU, read_small_spec, run_and_record
from ticks import state_files
from ticks.engines import measured_costs, proofs, selection
from ticks.engines.chunk import engine_identity
from ticks.engines.graph import engine as graph_engine
from ticks.engines.graph import loop
from ticks.process.commands import CommandHandler
from ticks.training import TrainingRun
from workers.trainer_client import TrainerClient

__all__ = ["cache"]  # a fixture

pytestmark = needs(CPP_COMPILER)


def tensors_of_other_layouts() -> list[list[torch.Tensor]]:
    """Return the tensors of programs of which no two are the same, though their text is."""
    whole, other = torch.zeros(2, 2), torch.zeros(2, 2)
    return [
        [whole, other], [whole, whole], [whole, whole.t()], [torch.zeros(4), other],
        [torch.zeros(3), other], [torch.zeros(4, dtype=torch.bfloat16), other],
        [torch.zeros(8)[4:], other], [torch.zeros(20)[16:], other],
    ]  # fmt: skip


def test_programs_of_one_text_are_told_apart_by_the_layout_of_their_tensors() -> None:
    every = tensors_of_other_layouts() + tensors_of_other_layouts()
    identities = [loop.LoadedProgram("call aten::zero_ - t0 ->", two).identity for two in every]
    assert identities[:8] == identities[8:] and len(set(identities)) == 8


#: without a norm no call of a program has its sizes
PLAIN: dict[str, Any] = {**ADAMW, "model": {"family": "mlp", "hidden": [4], "norm": "none"}}
OTHER_LAYOUTS: dict[str, dict[str, Any]] = {
    "a wider net": {"model": {"family": "mlp", "hidden": [200], "norm": "none"}},
    "larger batches": {"batch_size": 16},
}


@pytest.mark.parametrize("case", OTHER_LAYOUTS)
def test_a_proof_does_not_hold_for_other_sizes(case: str, cache: Path) -> None:
    train(read_small_spec(**PLAIN))
    assert "proven" in train(read_small_spec(**PLAIN)).engine_note
    assert "proven" not in train(read_small_spec(**PLAIN | OTHER_LAYOUTS[case])).engine_note


def test_a_proof_does_not_hold_for_other_code(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(read_small_spec(**ADAMW))
    monkeypatch.setattr(proofs, "_CODE", "0" * 16)
    assert "proven" not in train(read_small_spec(**ADAMW)).engine_note


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_an_update_is_compared_though_an_early_loss_is_not_finite(
    optimizer: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The 29th row overflows: it comes second, since `adamw` makes its tensors in the first."""
    data = OVERFLOWING["data"]
    rows = [28 if row == 1 else row for row in range(28)]
    moved = {name: [data[name][row] for row in rows] for name in ("inputs", "targets")}
    spec = read_small_spec(
        **GRAPH
        | OVERFLOWING
        | {"data": data | moved, "optimizer": {"name": optimizer, "lr": 0.01}},
        stop={"on_nonfinite": "skip"},
    )
    monkeypatch.setitem(selection.ENGINE_CLASSES, "graph", Off)
    training = train(spec)
    assert run_and_record(training) == run_and_record(TrainingRun(spec, CPU, engine="eager"))


def test_a_resumed_job_has_the_programs_that_differ_run_by_eager_again(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = read_small_spec(**SMALL_LAST)
    straight = TrainingRun(spec, CPU, engine="eager")
    run_and_record(straight, until=60)
    (tmp_path / "saved").mkdir()
    state_files.save(straight, tmp_path / "saved")
    monkeypatch.setitem(selection.ENGINE_CLASSES, "graph", WrongLast)
    rules = PROVABLE._replace(compares_recorded=True)
    resumed = TrainingRun(spec, CPU, engine="graph", trial_rules=rules)
    state_files.load(resumed, tmp_path / "saved")
    warnings: list[str] = []
    resumed.trainer.warn = warnings.append
    assert run_and_record(resumed) == run_and_record(straight)
    assert len(warnings) == 1 and "eager runs all ticks of 3 rows: loss of tick 71" in warnings[0]


def test_a_difference_after_the_trial_is_told_and_throws_the_proof_away(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(selection.ENGINE_CLASSES, "graph", WrongLast)
    untried = TrainingRun(read_small_spec(**SMALL_LAST), CPU, engine="graph")
    untried.run(71)
    context = proofs.current_context(engine_identity(untried.engine), PROVABLE.canary or "")
    wrong, shown = untried.engine._programs[3].identity, proofs.Proofs(context)
    shown.add({wrong: proofs.PROOF_TICKS})
    assert shown.covers([wrong])
    ours, theirs = socket.socketpair()
    with ours, theirs:
        handler, client = CommandHandler(ours), TrainerClient(theirs)
        warnings: list[str] = []
        client.on_warning = warnings.append
        spec = read_small_spec(**SMALL_LAST).to_stored()
        handler.build(spec, "cpu", job=RETRIED.job, canary=PROVABLE.canary, keeps_trial=True)
        handler.run(150)
        client._receive_reply("build")
        assert client.wait_chunk().count == 150
    assert len(warnings) == 1 and "eager runs all ticks of 3 rows" in warnings[0]
    assert warnings[0].endswith("; its proof is thrown away") and not shown.covers([wrong])


def test_a_run_of_the_loop_is_short_enough_to_show_signs_of_life(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph_engine, "MAX_RUN_SECONDS", 1e-9)
    training = train(read_small_spec(**ADAMW))
    signs: list[None] = []
    training.trainer.show_progress = lambda: signs.append(None)
    training.run(100)
    assert len(signs) == 100 - MAX_TRIAL_TICKS


RECORD = [1e-4, 1e-5, 1.0, 1.0, ["program"]]
DAMAGED_COSTS: dict[str, Any] = {
    "zero": [0.0, *RECORD[1:]],
    "negative": [-1.0, *RECORD[1:]],
    "not a number": [float("nan"), *RECORD[1:]],
    "infinite": [*RECORD[:3], float("inf"), []],
    "too small to divide by": [5e-324, *RECORD[1:]],
    "an integer": [10**400, *RECORD[1:]],
    "a text": ["1e-4", *RECORD[1:]],
    "no list of programs": [*RECORD[:4], "yes"],
    "too few": RECORD[:4],
    "no list": {"eager": 1e-4},
}


def record_of(spec: Any) -> tuple[Path, str]:
    costs = measured_costs.MeasuredCosts()
    costs.add(spec, 1e-4, 1e-5, ["program"])
    path = costs._path
    return path, next(iter(json.loads(path.read_text())))


@pytest.mark.parametrize("case", DAMAGED_COSTS)
def test_a_record_of_costs_that_no_trial_wrote_is_left_out(case: str, cache: Path) -> None:
    spec = read_small_spec(budget={"seconds": 3600})
    path, key = record_of(spec)
    others = {str(number): RECORD for number in range(2)}
    path.write_text(json.dumps({key: DAMAGED_COSTS[case], **others}))
    costs = measured_costs.MeasuredCosts()
    assert costs.find(spec) is None and len(costs._records) == 2
    train(spec, RETRIED)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b'{"a": ', b"\xff", b"[" * 100_000, b" " * (2 << 20) + b"{}"],
    ids=["empty", "a list", "cut", "no text", "deep", "large"],
)  # fmt: skip
def test_a_damaged_file_of_costs_is_replaced_by_the_next_trial(content: bytes, cache: Path) -> None:
    spec = read_small_spec(budget={"seconds": 3600})
    path, _ = record_of(spec)
    path.write_bytes(content)
    assert measured_costs.MeasuredCosts().find(spec) is None
    record_of(spec)
    assert measured_costs.MeasuredCosts().find(spec) is not None
    assert [file.name for file in path.parent.iterdir() if file.is_file()].count(path.name) == 1


def test_a_measurement_that_was_wrong_once_is_made_again(cache: Path) -> None:
    spec = read_small_spec(**ADAMW | {"compute": {"engine": "auto"}, "budget": {"ticks": 5000}})
    measured_costs.MeasuredCosts().add(spec, 1e-4, 1.0, ["program"])
    assert train(spec).engine.name == "eager"
    assert train(spec, RETRIED).engine.name == "graph"
    assert train(spec).engine.name == "graph"


MANY = {"source": "synthetic", "kind": "regression", "samples": 800, "features": 4, "seed": 1}


def test_a_trial_keeps_no_more_ticks_than_the_seconds_of_the_budget() -> None:
    slow = {"model": {"family": "mlp", "hidden": [2500, 2500]}, "batch_size": 400}
    specs = [read_small_spec(**slow, budget={"seconds": seconds}, data=MANY) for seconds in (1, 60)]
    assert 1 <= count_kept_ticks(specs[0]) < count_kept_ticks(specs[1]) == MIN_TRIAL_TICKS


def test_a_proof_in_a_folder_that_cannot_be_written_proves(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(read_small_spec(**ADAMW))

    def refuse(*_args: Any, **_keywords: Any) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "utime", refuse)
    monkeypatch.setattr(os, "unlink", refuse)
    assert "proven" in train(read_small_spec(**ADAMW)).engine_note


def test_one_proof_that_cannot_be_written_leaves_the_others(cache: Path) -> None:
    spec = read_small_spec(**ADAMW, batch_size=30)  # of 32: programs of 30 and 2 rows
    train(spec)
    for file in (files := sorted((cache / proofs.FOLDER).iterdir())):
        file.unlink()
    files[0].mkdir()
    os.mkfifo(files[1])
    assert "proven" not in train(spec).engine_note
    assert files[1].is_file() and files[0].is_dir()
