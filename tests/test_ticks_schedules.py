"""The learning rate of every tick, against the contract's formula."""

import math
from typing import Any

import pytest

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
    schedule = {"name": name, "warmup_ticks": warmup, "end_factor": end}
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
