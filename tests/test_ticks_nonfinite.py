"""A loss that is not finite: recorded, its update not applied; then the job fails or goes on."""

import struct
from typing import Any

import numpy as np
import pytest

from jobs.spec.job_spec import JobSpec
from tests.test_ticks_chunks import OVERFLOWING
from tests.training_records import read_small_spec, run_and_record, start_training
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
