"""A loss that is not finite: recorded, its update not applied; then the job fails or goes on."""

import struct
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jobs.spec.job_spec import JobSpec
from jobs.spec.stored import read_stored_spec
from tests.test_ticks_chunks import OVERFLOWING
from tests.training_records import (
    join_records,
    read_small_spec,
    resume_training,
    run_and_record,
    start_training,
    train_saving_at,
)
from ticks import state_files
from ticks.__main__ import train
from ticks.state import state_digest


def spec(**changes: Any) -> JobSpec:
    return read_small_spec(**OVERFLOWING | changes)


def losses(column: bytes) -> np.ndarray:
    return np.frombuffer(column, "<f4")


def test_the_job_fails_at_that_tick_with_the_state_before_it() -> None:
    before = run_and_record(start_training(spec()), until=28)
    record = run_and_record(start_training(spec()))
    column = losses(record.columns["loss"])
    assert len(column) == 29 and np.isinf(column[28]) and np.isfinite(column[:28]).all()
    assert record.tick == 28 and record.state == before.state
    assert record.failed == repr(
        {"type": "nonfinite", "detail": "the loss of tick 29 is inf", "tick": 29}
    )


def test_skip_goes_on_with_the_next_tick_and_the_same_state() -> None:
    skipping = spec(stop={"on_nonfinite": "skip"})
    training = start_training(skipping)
    run_and_record(training, until=28)
    before = state_digest(training.trainer)
    ran = training.run(1)
    assert (ran.failure, training.ticks_done, state_digest(training.trainer)) == (None, 29, before)
    column = losses(run_and_record(training).columns["loss"])
    bad = 29 + 1 + np.flatnonzero(~np.isfinite(column))
    assert len(column) == 100 - 29 and list(bad) == [29 + 40]


def test_batch_norms_averages_do_not_move_at_that_tick() -> None:
    batch_norm = {"family": "mlp", "hidden": [4], "norm": "batch"}
    training = start_training(spec(model=batch_norm, batch_size=4, budget={"ticks": 30}))
    run_and_record(training, until=7)
    before = state_digest(training.trainer)
    ran = training.run(1)
    assert ran.failure is not None and ran.failure["tick"] == 8
    assert state_digest(training.trainer) == before


@pytest.mark.parametrize("micro_batches", [1, 2])
def test_clipping_by_a_norm_that_is_not_finite_harms_nothing(micro_batches: int) -> None:
    clipped = spec(batch_size=2, micro_batches=micro_batches, clip_norm=1.0)
    record = run_and_record(start_training(clipped))
    before = run_and_record(start_training(clipped), until=14)
    assert (record.tick, record.state) == (14, before.state)


def test_the_recorded_bits_are_those_of_the_float32_loss() -> None:
    record = run_and_record(start_training(spec()))
    assert record.columns["loss"][-4:] == struct.pack("<f", float("inf"))


def skipping(ticks: set[int], **stop: Any) -> JobSpec:
    """A spec of 60 ticks, a row each, whose losses at these ticks are not finite."""
    targets = [1e30 if row + 1 in ticks else float(row % 5) + 0.5 for row in range(60)]
    inputs = [[float(row % 7), 1.0] for row in range(60)]
    data = {"source": "inline", "inputs": inputs, "targets": targets, "shuffle": False}
    return spec(data=data, budget={"ticks": 60}, stop={"on_nonfinite": "skip", **stop})


@pytest.mark.parametrize("lengths", [1, 7])
def test_many_skips_in_a_row_fail_the_job_with_the_state_before_them(lengths: int) -> None:
    bad = {3, 4, 5, 9, 20, 21, 22, 23}
    record = run_and_record(start_training(skipping(bad, max_skips=4)), repeat(lengths))
    detail = "no loss of ticks 20 to 23 is finite: stop.max_skips is 4"
    assert record.failed == repr({"type": "skips", "detail": detail, "tick": 23})
    assert (record.tick, len(losses(record.columns["loss"]))) == (22, 23)
    before = run_and_record(start_training(skipping(bad, max_skips=4)), until=19)
    assert record.state == before.state


def test_skips_in_a_row_are_counted_over_a_resume(tmp_path: Path) -> None:
    failing = skipping({30, 31, 32, 33, 34}, max_skips=5)
    straight = run_and_record(start_training(failing))
    assert straight.tick == 33
    for tick, folder, before in train_saving_at(failing, (29, 31, 33), tmp_path):
        after = run_and_record(resume_training(failing, folder))
        assert join_records(before, after) == straight, tick


def test_fewer_skips_in_a_row_or_no_bound_let_the_job_end() -> None:
    for stop in ({"max_skips": 5}, {"max_skips": None}):
        assert run_and_record(start_training(skipping({2, 3, 4, 5, 7}, **stop))).ended == "budget"


@pytest.mark.parametrize("finite", [0, 1])
def test_a_training_without_a_finite_loss_cannot_succeed_however_it_ends(
    finite: int, tmp_path: Path
) -> None:
    no_bound = skipping(set(range(1, 61 - finite)), max_skips=None)
    detail = "no loss of the {} ticks is finite: every update was skipped"
    training = start_training(no_bound)
    run_and_record(training, until=40)
    failure = training.end_failure
    assert failure == {"type": "nonfinite", "detail": detail.format(40), "tick": 40}
    state_files.save(training, tmp_path)
    training = resume_training(no_bound, tmp_path)
    assert training.end_failure == failure
    run_and_record(training)
    assert (training.end_failure is None) == bool(finite)


def test_a_spec_of_an_earlier_build_skips_without_end_as_it_meant() -> None:
    stored = skipping(set(range(1, 61))).to_stored()
    stored["budget"] = {"ticks": 120}  # more than the bound of today
    del stored["stop"]["max_skips"]
    training = start_training(read_stored_spec({**stored, "revision": 2}))
    assert run_and_record(training).ended == "budget" and training.end_failure is None


def test_the_program_says_that_no_loss_was_finite() -> None:
    _, failure = train(skipping(set(range(1, 61)), max_skips=None))
    assert failure is not None and (failure["type"], failure["tick"]) == ("nonfinite", 60)
