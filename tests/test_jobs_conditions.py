"""Conditions: their grammar, the ticks that a spec fixes itself, and searches of a history."""

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from jobs.history.column_reader import ColumnReader
from jobs.history.condition_search import ConditionSearch
from jobs.history.summary_rows import BUCKET
from jobs.job import SparsePoint
from jobs.queries.jobs import JobQueries
from jobs.settings import Settings
from jobs.spec.base import InvalidSpec
from jobs.spec.condition_checks import find_planned_tick
from jobs.spec.conditions import MetCondition, parse_condition
from jobs.spec.job_spec import JobSpec
from jobs.spec.reading import read_spec
from jobs.store import keys
from jobs.store.connection import Store
from jobs.webhooks.event import parse_event
from tests.manual_worker import ManualWorker
from tests.support import small_spec

HELD_OUT = {"fraction": 0.25, "every_ticks": 2}


def read_small_spec(**changes: Any) -> JobSpec:
    return read_spec(small_spec(**changes), max_parameters=10**7)


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("loss<0.1", ("loss", "<", 0.1)),
        ("val_accuracy>.9", ("val_accuracy", ">", 0.9)),
        ("grad_norm>-1.5E+3", ("grad_norm", ">", -1500.0)),
        ("tick>=007", ("tick", ">=", 7.0)),
    ],
)
def test_a_condition_is_read_as_it_was_written(text: str, meaning: tuple[str, str, float]) -> None:
    condition = parse_condition(text)
    assert (condition.meaning, condition.text) == (meaning, text)


#: what is no condition, and a part of the rule that says so
NO_CONDITIONS = {
    "": "COLUMN<X", "loss": "COLUMN<X", "<1": "COLUMN<X", "loss < 1": "COLUMN<X",
    "Loss<1": "COLUMN<X", "1loss<1": "COLUMN<X",
    "loss<=1": "by < or >", "loss>=1": "by < or >", "loss=1": "by < or >", "loss!=1": "by < or >",
    "loss<": "finite number", "loss<nan": "finite number", "loss>inf": "finite number",
    "loss<1e999": "finite number", "loss<1_0": "finite number", "loss<1 ": "finite number",
    "loss<0x1": "finite number", "loss<1\n": "finite number", "loss<１": "finite number",
    "tick>=0": "from 1 to", "tick>=1.5": "from 1 to", "tick>=1000000001": "from 1 to",
    "tick>5": "from 1 to", "tick<5": "from 1 to", "tick>=٣": "from 1 to",
    "loss<" + "1" * 100: "100 characters",
}  # fmt: skip


@pytest.mark.parametrize("text", NO_CONDITIONS)
def test_what_is_no_condition_is_refused_with_the_rule(text: str) -> None:
    with pytest.raises(ValueError, match=NO_CONDITIONS[text]):
        parse_condition(text)


def test_a_recorded_value_is_compared_as_the_number_that_it_equals() -> None:
    """As float32 the two would be equal, and neither below nor above."""
    tenth = np.array([0.1], np.float32)
    assert parse_condition("loss>0.1").compare(tenth).tolist() == [True]
    assert parse_condition("loss<0.1").compare(tenth).tolist() == [False]


def test_an_infinite_value_is_beyond_every_number_and_nan_meets_nothing() -> None:
    values = np.array([math.nan, math.inf, -math.inf], np.float32)
    assert parse_condition("loss>1e300").compare(values).tolist() == [False, True, False]
    assert parse_condition("loss<-1e300").compare(values).tolist() == [False, False, True]


#: changes of a spec, and where the errors must be with which words
SPEC_FAULTS: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "an unknown column": ({"notify_when": ["loss<1", "los<1"]}, {"/notify_when/1": "loss, lr"}),
    "a column that is not recorded": (
        {"notify_when": ["grad_norm>1"]}, {"/notify_when/0": "this job records"},
    ),
    "a metric without validation": (
        {"notify_when": ["val_loss<1"]}, {"/notify_when/0": "needs validation"},
    ),
    "a metric without a test": (
        {"notify_when": ["test_loss<1"], "validation": HELD_OUT}, {"/notify_when/0": "a test"},
    ),
    "a metric of classes": (
        {"notify_when": ["val_accuracy>1"], "validation": HELD_OUT}, {"/notify_when/0": "val_loss"},
    ),
    "a threshold that is no number": ({"notify_when": ["loss<nan"]}, {"/notify_when/0": "finite"}),
    "the same condition twice": (
        {"notify_when": ["loss<0.1", "tick>=1", "loss<1e-1"]}, {"/notify_when/2": "/notify_when/0"},
    ),
    "too many conditions": (
        {"notify_when": [f"tick>={n}" for n in range(1, 22)]}, {"/notify_when": "at most 20"},
    ),
    "a number instead of a text": ({"notify_when": [5]}, {"/notify_when/0": "a text"}),
}  # fmt: skip


@pytest.mark.parametrize("fault", SPEC_FAULTS)
def test_wrong_conditions_of_a_spec_are_told_at_their_place(fault: str) -> None:
    changes, expected = SPEC_FAULTS[fault]
    with pytest.raises(InvalidSpec) as refused:
        read_small_spec(**changes)
    errors = {error.pointer: error.detail for error in refused.value.errors}
    assert errors.keys() == expected.keys()
    assert all(words in errors[place] for place, words in expected.items()), errors


@pytest.mark.parametrize("first_tick", [1, 7, 15])
@pytest.mark.parametrize("name", ["constant", "linear", "cosine"])
def test_the_tick_of_a_learning_rate_is_that_of_a_look_at_every_tick(
    name: str, first_tick: int
) -> None:
    schedule = {"name": name, "warmup_ticks": 10, "end_factor": 0.1 * (name != "constant")}
    spec = read_small_spec(schedule=schedule, budget={"ticks": 40}, optimizer={"lr": 0.5})
    rates = {tick: spec.rate(tick) for tick in range(first_tick, 41)}
    for threshold in (0.01, 0.05, 0.1234, 0.3, 0.4999, 0.5, 0.6):
        for operator in "<>":
            condition = parse_condition(f"lr{operator}{threshold}")
            met = [tick for tick, rate in rates.items() if condition.is_met(rate)]
            assert find_planned_tick(condition, spec, first_tick) == (met or [None])[0]


def test_a_rate_without_a_total_of_ticks_is_found_beyond_its_warmup() -> None:
    spec = read_small_spec(budget={"seconds": 9}, schedule={"warmup_ticks": 10})
    assert find_planned_tick(parse_condition("lr>0"), spec, 25) == 25
    assert find_planned_tick(parse_condition("lr>1"), spec, 25) is None


@pytest.fixture
def search(
    submit: Callable[..., str], store: Store, settings: Settings
) -> Callable[..., tuple[ManualWorker, Callable[[str], ConditionSearch]]]:
    """Claim a new job by hand; returns its worker, and what makes a search of its history."""

    def begin(**changes: Any) -> tuple[ManualWorker, Callable[[str], ConditionSearch]]:
        job_id = submit(budget={"ticks": 10**6}, **changes)
        worker = ManualWorker(store, settings)
        reader, job = (
            ColumnReader(store, worker.files),
            JobQueries(store).get_job("default", job_id),
        )
        return worker, lambda text: ConditionSearch(reader, job, parse_condition(text))

    return begin


def test_a_search_finds_what_a_look_at_every_tick_does_and_reads_rows(
    search: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, search_for = search()
    generator = np.random.default_rng(1)
    losses = generator.normal(size=40 * BUCKET + 300).astype(np.float32)
    losses[5 * BUCKET : 6 * BUCKET] = np.nan
    losses[7 * BUCKET + 9], losses[-100] = 50, -50
    worker.record(losses)
    values_read: list[int] = []
    read = ColumnReader.values

    def counted(*arguments: Any) -> Any:
        values = read(*arguments)
        values_read.append(len(values))
        return values

    monkeypatch.setattr(ColumnReader, "values", counted)
    for text in ("loss>49", "loss>50", "loss<-49", "loss<-50", "loss>1", "loss<-1e30"):
        values_read.clear()
        expected = bool(parse_condition(text).compare(losses).any())
        assert search_for(text).look() is expected, text
        assert sum(values_read) <= 300 + BUCKET, "the rest is known from summary rows"
    losses_after = np.array([1.0, np.inf, 1.0], np.float32)
    running = search_for("loss>1e300")
    assert not running.look()
    values_read.clear()
    worker.record(losses_after)
    assert running.look() and sum(values_read) == 3, "each tick is looked at once"
    worker.record(np.ones(2 * BUCKET, np.float32))
    assert search_for("loss>1e300").look(), "infinite values are in no extreme of a row"


def test_a_search_sees_a_validation_that_comes_after_its_tick(search: Any) -> None:
    worker, search_for = search(validation=HELD_OUT)
    worker.record([1.0, 2.0], [SparsePoint("val_loss", 2, np.float64(0.5).tobytes())])
    running = search_for("val_loss<0.4")
    assert not running.look() and search_for("val_loss<0.6").look()
    worker.record([3.0])
    assert not running.look()
    worker.record([], [SparsePoint("val_loss", 3, np.float64(0.3).tobytes())])
    assert running.look()


def test_a_condition_is_told_with_its_tick_in_one_step_and_once(search: Any, store: Store) -> None:
    """A chunk of many calls: each tells what its own ticks meet, so no tick is there without."""
    worker, _ = search(notify=["https://ci.example/hook"])
    count = 40_000
    met = [MetCondition("loss<0.5", 20_000, 0.25), MetCondition("tick>=39000", 39_000, math.inf)]
    worker.ledger.append_ticks = recording(worker.ledger.append_ticks)  # type: ignore[method-assign]
    worker.record(np.ones(count), met=met)
    calls = worker.ledger.append_ticks.calls  # type: ignore[attr-defined]
    assert [[one.tick for one in call[7]] for call in calls] == [[], [20_000], [39_000]]
    worker.record([1.0], met=[MetCondition("loss<0.5", count + 1, 0.1)])  # by another attempt
    texts: Any = store.lrange(keys.events("default", worker.lease.job_id), 0, -1)
    events = [event for event in map(json.loads, texts) if event["type"] == "condition"]
    assert [event["data"] for event in events] == [
        {"condition": "loss<0.5", "tick": 20_000, "value": 0.25},
        {"condition": "tick>=39000", "tick": 39_000, "value": None},
    ]
    emitted = store.xrange(keys.webhook_outbox("default"))
    messages = [parse_event(*entry) for entry in emitted]  # type: ignore[misc]
    data = [one.data for one in messages if one.type == "job.condition"]
    assert [(one["tick"], one["condition"], one["value"], one["loss"]) for one in data] == [
        (20_000, "loss<0.5", 0.25, 1.0), (39_000, "tick>=39000", None, 1.0),
    ]  # fmt: skip


def recording(method: Any) -> Any:
    """Return the method, with a list of the arguments that it was called with."""

    def call(*arguments: Any, **options: Any) -> Any:
        call.calls.append(arguments)  # type: ignore[attr-defined]
        return method(*arguments, **options)

    call.calls = []  # type: ignore[attr-defined]
    return call
