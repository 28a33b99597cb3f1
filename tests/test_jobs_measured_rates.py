"""What a plan expects of a job's time: by its own rate, by a similar job's, or by nothing."""

from typing import Any

import pytest
import redis

from jobs.measured_rates import MeasuredRate, expect_tick, make_rate
from jobs.plan import Plan, plan
from jobs.queries import tick_rates
from jobs.spec.tick_costs import estimate_tick_seconds
from tests.training_records import read_small_spec

WORKER: dict[str, Any] = {
    "queue": "cpu", "engines": ["eager", "graph"], "fingerprint": {"canary": "c0ffee"},
}  # fmt: skip
BUDGET = {"ticks": 500}


def rate(tick_seconds: float = 0.002, at_ms: int = 1, **spec: Any) -> MeasuredRate:
    return make_rate(read_small_spec(**spec), "eager", tick_seconds, at_ms)


def planned(*rates: MeasuredRate, first_tick: int = 1, **spec: Any) -> Plan:
    spec = {"budget": BUDGET, "compute": {"engine": "eager"}, **spec}
    return plan(read_small_spec(**spec), [WORKER], rates, first_tick=first_tick)


def model(*hidden: int, **fields: Any) -> dict[str, Any]:
    return {"family": "mlp", "hidden": list(hidden), **fields}


def test_a_job_takes_what_its_ticks_took_before_whatever_its_budget() -> None:
    own, similar = rate(0.002), rate(0.5, model=model(5))
    expected = planned(similar, own)
    assert (expected.seconds, expected.seconds_why) == (
        1.0, "by a live worker's 500 ticks a second of such a job with eager",
    )  # fmt: skip
    assert planned(similar, own, budget={"ticks": 100}, seed=7).seconds == pytest.approx(0.2)
    assert planned(own, first_tick=251).seconds == pytest.approx(0.5)  # a fork
    assert planned(rate(0.001, at_ms=1), rate(0.003, at_ms=2)).seconds == pytest.approx(1.5)


def test_a_similar_job_is_scaled_by_what_arithmetic_says_of_both() -> None:
    parts: dict[str, Any] = {"micro_batches": 2}
    more = estimate_tick_seconds(read_small_spec(**parts)) / estimate_tick_seconds(
        read_small_spec()
    )
    expected = planned(rate(0.002), **parts)
    assert 1.2 < more < 2 and expected.seconds == pytest.approx(more * 500 * 0.002)
    assert "the most similar job" in expected.seconds_why
    layer, none = rate(0.002), rate(0.007, model=model(4, norm="none"))
    assert planned(layer, none, model=model(5, norm="none")).seconds == pytest.approx(3.5, rel=0.01)


@pytest.mark.parametrize(
    "measured",
    [
        [],
        [rate(model=model(4000))],
        [rate(compute={"threads": 2})],
        [rate(compute={"precision": "bfloat16"})],
        [make_rate(read_small_spec(), "graph", 0.002, 1)],
    ],
    ids=["nothing", "another size", "other threads", "another precision", "another engine"],
)
def test_nothing_is_expected_of_what_nobody_measured(measured: list[MeasuredRate]) -> None:
    expected = planned(*measured)
    assert (expected.seconds, expected.seconds_why) == (
        None, "no live worker has trained such a job with eager yet",
    )  # fmt: skip


def test_a_budget_of_seconds_bounds_what_is_expected() -> None:
    assert planned(budget={"seconds": 30}).seconds == 30
    assert planned(rate(0.002), budget={"ticks": 5000, "seconds": 1}).seconds == 1
    assert planned(rate(0.002), budget={"ticks": 500, "seconds": 5}).seconds == 1.0


def test_rates_outlive_a_worker_and_the_newest_are_kept(
    store: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tick_rates, "MAX_RATES", 3)
    shapes = [4, 5, 6, 7, 4]
    for at_ms, width in enumerate(shapes):
        tick_rates.record_rate(store, "c0ffee", rate(at_ms / 100, at_ms, model=model(width)))
    tick_rates.record_rate(store, "another", rate())
    rates = tick_rates.read_rates(store, [WORKER, WORKER, {"queue": "cpu"}])
    assert sorted(one.at_ms for one in rates) == [2, 3, 4]
    expected = expect_tick(read_small_spec(model=model(4)), "eager", rates)
    assert expected is not None and expected.seconds == 0.04
    assert store.ttl("rates:c0ffee") > 0
