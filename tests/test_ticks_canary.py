"""The canary: the same for the same kernels, another when any of its answers changes."""

import hashlib

import pytest
import torch

from tests.trainings import CPU
from ticks import canary, machine
from ticks.state import bits


def test_the_canary_is_the_same_every_time() -> None:
    machine.prepare(1)
    first = canary.measure(CPU)
    torch.manual_seed(3)
    torch.randn(7)
    assert canary.measure(CPU) == first
    assert len(first) == 32 and int(first, 16) >= 0


def test_one_ulp_in_one_answer_is_another_canary(monkeypatch: pytest.MonkeyPatch) -> None:
    machine.prepare(1)
    real = canary.measure(CPU)
    answers = canary.answers(CPU)

    def nearly(_device: torch.device) -> list[torch.Tensor]:
        spoiled = answers[5].clone().reshape(-1)
        spoiled[-1] = torch.nextafter(spoiled[-1], torch.tensor(torch.inf))
        return [*answers[:5], spoiled, *answers[6:]]

    monkeypatch.setattr(canary, "answers", nearly)
    assert canary.measure(CPU) != real


def test_every_answer_is_finite_and_counts() -> None:
    machine.prepare(1)
    answers = canary.answers(CPU)
    assert all(torch.isfinite(answer).all() for answer in answers)
    hashed = hashlib.sha256(b"".join(bytes(bits(answer)) for answer in answers))
    assert canary.measure(CPU) == hashed.hexdigest()[:32]
