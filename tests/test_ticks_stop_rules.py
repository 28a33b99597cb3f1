"""Stop rules: what ends a job, at which tick, whatever the chunks."""

import math
from typing import Any

import numpy as np
import pytest

from jobs.spec.stored import read_stored_spec
from jobs.spec.training import Stop
from tests.training_records import read_small_spec, run_and_record, start_training
from ticks.stopping import StopRules


def rules(**stop: Any) -> StopRules:
    return StopRules(Stop.model_validate(stop))


def decided(rule: StopRules, metric: str, values: dict[int, float]) -> dict[int, str]:
    """Show the values at their ticks; the decisions that are not None."""
    decisions = {tick: rule.check(tick, {metric: value}) for tick, value in values.items()}
    return {tick: name for tick, name in decisions.items() if name}


def test_patience_ends_when_the_best_is_its_number_of_ticks_old() -> None:
    patience = rules(patience={"metric": "val_loss", "ticks": 20})
    values = {10: 3.0, 20: 2.0, 30: 2.5, 40: 2.0, 50: 1.0}
    assert decided(patience, "val_loss", values) == {40: "patience"}


def test_patience_asks_for_more_than_min_delta() -> None:
    patience = rules(patience={"metric": "val_loss", "ticks": 30, "min_delta": 0.5})
    assert decided(patience, "val_loss", {10: 3.0, 20: 2.5, 30: 2.4, 40: 2.3}) == {}
    assert patience.best_tick == 30


def test_patience_with_accuracy_wants_it_to_rise() -> None:
    patience = rules(patience={"metric": "val_accuracy", "ticks": 20})
    values = {10: 0.5, 20: 0.6, 30: 0.7, 40: 0.2, 50: 0.7}
    assert decided(patience, "val_accuracy", values) == {50: "patience"}


def test_target_is_strictly_below_or_above() -> None:
    below = rules(target={"metric": "loss", "below": 1.0})
    assert decided(below, "loss", {1: 1.0, 2: 0.99}) == {2: "target"}
    above = rules(target={"metric": "val_accuracy", "above": 0.9})
    assert decided(above, "val_accuracy", {1: 0.9, 2: 0.91}) == {2: "target"}


def test_a_nonfinite_value_satisfies_no_rule_and_is_never_the_best() -> None:
    target = rules(target={"metric": "loss", "above": 1.0})
    assert decided(target, "loss", {1: math.inf, 2: math.nan}) == {}
    patience = rules(patience={"metric": "loss", "ticks": 2})
    assert decided(patience, "loss", {1: -math.inf, 2: math.nan}) == {2: "patience"}
    assert patience.best is None


def test_converged_compares_the_means_of_the_last_two_windows() -> None:
    rule = rules(converged={"metric": "loss", "window": 4, "rel_change": 0.1})
    losses = np.array([8, 8, 8, 8, 4, 4, 4, 4, 4, 4, 4, 3], dtype=np.float32)
    for tick, loss in enumerate(losses, 1):
        rule.observe(tick, np.array([loss], dtype=np.float32))
    assert rule.check(7, {"loss": 4.0}) is None  # before two windows are full
    assert rule.check(8, {"loss": 4.0}) is None  # 8 against 4
    assert rule.check(12, {"loss": 3.0}) == "converged"  # 4 against 3.75


def test_converged_is_not_reached_by_a_window_with_nan_in_it() -> None:
    rule = rules(converged={"metric": "loss", "window": 2, "rel_change": 1.0})
    rule.observe(1, np.array([1, 1, math.nan, 1], dtype=np.float32))
    assert rule.check(4, {"loss": 1.0}) is None


def test_converged_works_on_validation_values_by_their_ticks() -> None:
    rule = rules(converged={"metric": "val_loss", "window": 20, "rel_change": 0.01})
    values = {10: 4.0, 20: 2.0, 30: 3.0, 40: 3.0, 50: 2.5, 60: 2.5, 70: 2.5}
    assert decided(rule, "val_loss", values) == {40: "converged"}


def test_target_names_the_end_when_several_rules_are_met_at_one_tick() -> None:
    both = rules(target={"metric": "loss", "below": 1.0}, patience={"metric": "loss", "ticks": 1})
    assert both.check(10, {"loss": 0.5}) == "target"


@pytest.mark.parametrize("rule", ["target", "patience"])
def test_a_rule_on_the_training_loss_reads_the_mean_since_its_last_look(rule: str) -> None:
    body = {"target": {"metric": "loss", "below": 1.5}, "patience": {"metric": "loss", "ticks": 9}}
    losses = np.array([4, 0, 1, math.nan, 1, 1], dtype=np.float32)
    mean, one = rules(**{rule: body[rule]}), StopRules(Stop.model_validate({rule: body[rule]}),
                                                       reads_mean_loss=False)  # fmt: skip
    for read in (mean, one):
        read.observe(1, losses[:2])
    assert (mean.read_loss(0.0), one.read_loss(0.0)) == (2.0, 0.0)
    mean.observe(3, losses[2:])
    assert mean.read_loss(1.0) == 1.0  # of the finite ones
    assert math.isnan(mean.read_loss(1.0))


def test_the_sum_of_losses_is_in_the_order_of_ticks_however_they_come() -> None:
    losses = np.random.default_rng(0).lognormal(0, 9, 1000).astype(np.float32)
    total = 0.0
    for loss in losses.tolist():
        total += loss
    for length in (1, 7, 1000):
        rule = rules(target={"metric": "loss", "below": 0.0})
        for first in range(0, 1000, length):
            rule.observe(first + 1, losses[first : first + length])
        assert rule.read_loss(0.0) == total / 1000


def test_rules_of_an_earlier_spec_read_the_loss_of_one_tick() -> None:
    changes = {"target": {"metric": "loss", "below": 0.37}, "check_every": 10}
    spec = read_small_spec(budget={"ticks": 100}, stop=changes)
    old = read_stored_spec({**spec.to_stored(), "revision": 2})
    ends = [run_and_record(start_training(read)) for read in (spec, old)]
    losses = np.frombuffer(ends[0].columns["loss"], dtype=np.float32)
    means = losses[: len(losses) // 10 * 10].reshape(-1, 10).mean(axis=1)
    assert [ends[0].tick, ends[1].tick] == [
        10 * (1 + int(np.argmax(values < 0.37))) for values in (means, losses[9::10])
    ]
    assert ends[0].tick != ends[1].tick


def test_memory_for_past_losses_is_bounded() -> None:
    rule = rules(converged={"metric": "loss", "window": 10, "rel_change": 0.0})
    for first in range(1, 200_001, 1000):
        rule.observe(first, np.ones(1000, dtype=np.float32))
        assert len(rule.rolling_window._values) <= 3000
    assert rule.check(200_000, {"loss": 1.0}) == "converged"


def test_training_loss_is_looked_at_at_ticks_divisible_by_check_every_alone() -> None:
    spec = read_small_spec(
        budget={"ticks": 100},
        stop={"target": {"metric": "loss", "below": 1000.0}, "check_every": 37},
    )
    record = run_and_record(start_training(spec))
    assert (record.tick, record.ended) == (37, "target")


def test_the_last_tick_is_validated_even_between_validations() -> None:
    spec = read_small_spec(
        budget={"ticks": 100},
        validation={"fraction": 0.25, "every_ticks": 50},
        stop={"target": {"metric": "loss", "below": 1000.0}, "check_every": 7},
    )
    record = run_and_record(start_training(spec))
    assert (record.tick, record.ended) == (7, "target")
    names = ("val_loss", "val_r2", "val_mae", "val_rmse", "state")
    assert [(name, tick) for name, tick, _ in record.sparse] == [(name, 7) for name in names]


def test_a_budget_ends_at_its_last_tick_and_nothing_runs_after_it() -> None:
    training = start_training(read_small_spec(budget={"ticks": 23, "epochs": 50}))
    assert run_and_record(training).ended == "budget"
    after = training.run(10)
    assert (after.chunk.count, after.chunk.first, training.ticks_done) == (0, 24, 23)


def test_a_budget_of_time_alone_never_ends_by_itself() -> None:
    training = start_training(read_small_spec(budget={"seconds": 1}))
    assert run_and_record(training, until=500).ended is None


@pytest.mark.parametrize("epochs", [1, 3])
def test_an_epoch_is_every_row_once_with_a_short_last_batch(epochs: int) -> None:
    training = start_training(
        read_small_spec(budget={"epochs": epochs}, batch_size=5)
    )  # 32 rows: 7 ticks
    assert run_and_record(training).tick == 7 * epochs
    assert training.epoch == epochs
    rows = [len(training.trainer.batches.batch(tick).inputs) for tick in range(1, 8)]
    assert rows == [5, 5, 5, 5, 5, 5, 2]
