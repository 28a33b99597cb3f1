"""The canary: the same for the same kernels, another when any kernel result changes."""

import pytest
import torch

from tests.training_records import CPU
from ticks import canary, machine


def test_the_canary_is_the_same_every_time() -> None:
    machine.configure_torch(1)
    first = canary.compute_canary(CPU)
    torch.manual_seed(3)
    torch.randn(7)
    assert canary.compute_canary(CPU) == first
    assert len(first) == 32 and int(first, 16) >= 0


def test_one_ulp_in_any_kernel_result_changes_the_canary(monkeypatch: pytest.MonkeyPatch) -> None:
    machine.configure_torch(1)
    results = canary.kernel_results(CPU)
    assert len(results) > 50 and all(torch.isfinite(result).all() for result in results)
    canaries = {canary.compute_canary(CPU)}
    for at, result in enumerate(results):
        changed = result.clone()
        changed.view(-1)[-1] = torch.nextafter(result.view(-1)[-1], torch.tensor(torch.inf))
        spoiled = [*results[:at], changed, *results[at + 1 :]]
        monkeypatch.setattr(canary, "kernel_results", lambda _device, spoiled=spoiled: spoiled)
        canaries.add(canary.compute_canary(CPU))
    assert len(canaries) == 1 + len(results)
