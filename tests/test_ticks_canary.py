"""The canary: the same for the same kernels, another when any of its answers changes."""

import hashlib

import pytest
import torch

from tests.training_records import CPU
from ticks import canary, machine
from ticks.state import tensor_bytes


def test_the_canary_is_the_same_every_time() -> None:
    machine.configure_torch(1)
    first = canary.compute_canary(CPU)
    torch.manual_seed(3)
    torch.randn(7)
    assert canary.compute_canary(CPU) == first
    assert len(first) == 32 and int(first, 16) >= 0


def test_one_ulp_in_one_kernel_result_changes_the_canary(monkeypatch: pytest.MonkeyPatch) -> None:
    machine.configure_torch(1)
    real = canary.compute_canary(CPU)
    answers = canary.kernel_results(CPU)

    def nearly(_device: torch.device) -> list[torch.Tensor]:
        spoiled = answers[5].clone().reshape(-1)
        spoiled[-1] = torch.nextafter(spoiled[-1], torch.tensor(torch.inf))
        return [*answers[:5], spoiled, *answers[6:]]

    monkeypatch.setattr(canary, "kernel_results", nearly)
    assert canary.compute_canary(CPU) != real


def test_a_canary_covers_the_bytes_of_every_kernel_result() -> None:
    machine.configure_torch(1)
    answers = canary.kernel_results(CPU)
    assert all(torch.isfinite(answer).all() for answer in answers)
    hashed = hashlib.sha256(b"".join(bytes(tensor_bytes(answer)) for answer in answers))
    assert canary.compute_canary(CPU) == hashed.hexdigest()[:32]
