"""The learning rate of every tick, against the contract's formula."""

import math
from itertools import product
from typing import Any

import pytest
import torch

from jobs.spec.base import InvalidSpec
from jobs.spec.stored import read_stored_spec
from tests.support import ROOT
from tests.training_records import read_small_spec, start_training


def contract(name: str, t: int, *, lr: float, w: int, total: int, e: float) -> float:
    if t <= w:
        return lr * t / w
    p = (t - 1 - w) / (total - w)
    if name == "linear":
        return lr * (1 - (1 - e) * p)
    if name == "cosine":
        return lr * (e + (1 - e) * (1 + math.cos(math.pi * p)) / 2)
    return lr


def spec(name: str, warmup: int = 0, end: float = 0.0, **changes: Any):
    schedule = {"name": name, "warmup_ticks": warmup, "end_factor": end * (name != "constant")}
    return read_small_spec(
        schedule=schedule, optimizer={"name": "sgd", "lr": 0.3}, budget={"ticks": 90}, **changes
    )


@pytest.mark.parametrize("name", ["constant", "linear", "cosine"])
@pytest.mark.parametrize("warmup", [0, 1, 7, 89])
@pytest.mark.parametrize("end", [0.0, 0.1, 1.0])
def test_the_rate_follows_the_contracts_formula(name: str, warmup: int, end: float) -> None:
    job_spec = spec(name, warmup, end)
    for tick in range(1, 91):
        exact = contract(name, tick, lr=0.3, w=warmup, total=90, e=end)
        assert job_spec.rate(tick) == pytest.approx(exact, rel=1e-15, abs=1e-17)


def test_the_first_tick_after_warmup_has_the_whole_rate_and_the_last_is_above_its_end() -> None:
    cosine = spec("cosine", warmup=10)
    assert [cosine.rate(tick) for tick in (1, 10, 11)] == pytest.approx([0.03, 0.3, 0.3])
    assert 0 < cosine.rate(90) < 0.001


def test_the_trainer_uses_the_rate_of_its_tick() -> None:
    job_spec = spec("linear", warmup=5)
    training = start_training(job_spec)
    for tick in range(1, 12):
        training.run(1)
        (group,) = training.trainer.optimizer.param_groups
        assert group["lr"] == job_spec.rate(tick)


def test_an_update_is_the_rate_times_the_gradient() -> None:
    job_spec = spec("linear", warmup=4)
    training = start_training(job_spec)
    training.run(1)
    before = [p.detach().clone() for p in training.trainer.parameters]
    training.run(1)
    for old, new in zip(before, training.trainer.parameters, strict=True):
        assert (old - job_spec.rate(2) * new.grad - new).abs().max() < 1e-7


def test_a_constant_rate_falls_to_nothing_but_a_stored_spec_is_read() -> None:
    schedule = {"name": "constant", "end_factor": 0.5}
    with pytest.raises(InvalidSpec) as caught:
        read_small_spec(schedule=schedule)
    assert [error.pointer for error in caught.value.errors] == ["/schedule/end_factor"]
    stored = read_small_spec().to_stored()
    old = read_stored_spec({**stored, "schedule": {**stored["schedule"], **schedule}})
    assert (old.schedule.end_factor, old.rate(1)) == (0.5, old.optimizer.lr)
    assert read_small_spec(schedule=stored["schedule"]).schedule.name == "constant"


# The table of docs/schedules.md: 100 ticks, 10 of them warm-up, a rate of 1.
WARMUP, TOTAL = 10, 100
SHOWN = {"first": 1, "last of warm-up": 10, "next": 11, "middle": 55, "last": 100}


def rates_here(name: str, end: float) -> list[float]:
    job_spec = read_small_spec(
        schedule={"name": name, "warmup_ticks": WARMUP, "end_factor": end},
        optimizer={"name": "sgd", "lr": 1.0}, budget={"ticks": TOTAL},
    )  # fmt: skip
    return [job_spec.rate(tick) for tick in SHOWN.values()]


def rates_of_torch(name: str, end: float) -> list[float]:
    """A warm-up from a tenth of the rate over ten steps, then the schedule, by torch's objects."""
    schedulers = torch.optim.lr_scheduler
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    after: Any = {
        "constant": lambda: schedulers.ConstantLR(optimizer, factor=1.0),
        "linear": lambda: schedulers.LinearLR(optimizer, 1.0, end, TOTAL - WARMUP),
        "cosine": lambda: schedulers.CosineAnnealingLR(optimizer, TOTAL - WARMUP, eta_min=end),
    }[name]
    warmup = schedulers.LinearLR(optimizer, 1 / WARMUP, 1.0, WARMUP)
    scheduler = schedulers.SequentialLR(optimizer, [warmup, after()], [WARMUP])
    rates = []
    for _ in range(TOTAL):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return [rates[tick - 1] for tick in SHOWN.values()]


def rates_of_transformers(name: str, end: float) -> list[float]:
    """The published formulas of transformers.optimization (get_…_schedule_with_warmup).

    Their step is the number of updates before this one.
    """

    def rate(step: int) -> float:
        if step < WARMUP:
            return step / max(1, WARMUP)
        progress = (step - WARMUP) / max(1, TOTAL - WARMUP)
        shares = {
            "constant": 1.0, "linear": 1 - progress,
            "cosine": 0.5 * (1 + math.cos(math.pi * progress)),
        }  # fmt: skip
        return 1.0 if name == "constant" else shares[name] * (1 - end) + end

    return [rate(tick - 1) for tick in SHOWN.values()]


def test_the_table_of_schedules_has_the_rates_of_each_convention() -> None:
    lines = (ROOT / "docs" / "schedules.md").read_text().splitlines()
    rows = [[cell.strip(" `") for cell in line.split("|")[1:-1]] for line in lines if "|" in line]
    header, _, *body = rows
    assert header == ["schedule", "end_factor", "convention", *SHOWN]
    conventions = {
        "Tickforge": rates_here, "torch": rates_of_torch, "transformers": rates_of_transformers,
    }  # fmt: skip
    kinds = [("constant", "0"), *product(("linear", "cosine"), ("0", "0.1"))]
    assert [tuple(row[:3]) for row in body] == [
        (*kind, convention) for kind in kinds for convention in conventions
    ]
    for name, end, convention, *shown in body:
        exact = conventions[convention](name, float(end))
        assert shown == [f"{rate:.4f}" for rate in exact], (name, end, convention)
