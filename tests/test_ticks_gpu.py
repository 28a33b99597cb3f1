"""Trainings on a GPU: the bits of every run of it, near a CPU's, and resumed exactly.

Skipped where torch cannot use a GPU; test_ticks_gpu_paths has what a CPU can show of this.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from jobs.device_choice import resolve_device
from jobs.memory_estimate import GPU_PROCESS_BYTES, estimate_memory_bytes
from jobs.spec.job_spec import JobSpec
from tests.test_ticks_exact_resume import AT, SPECS, TICKS
from tests.test_ticks_transformer_exact import SPECS as TEXT_SPECS
from tests.test_ticks_transformer_exact import TEXT
from tests.texts import write_texts
from tests.training_records import (
    join_records,
    read_small_spec,
    resume_training,
    run_and_record,
    start_training,
    train_saving_at,
)
from ticks import canary, machine

pytestmark = pytest.mark.gpu
GPU, CPU = torch.device("cuda", 0), torch.device("cpu")
#: of a loss after up to 40 ticks from the same weights, by other sums in other orders
TOLERANCES = {"float32": 1e-2, "bfloat16": 0.1}
ALL_SPECS: dict[str, JobSpec] = {
    **SPECS,
    **{f"text, {name}": TEXT_SPECS[name] for name in TEXT_SPECS},
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_texts(tmp_path_factory.mktemp("artifacts"), text=TEXT)


def without_dropout(spec: JobSpec) -> JobSpec:
    """A GPU draws other random numbers, so only nets without dropout come near."""
    return spec.model_copy(update={"model": spec.model.model_copy(update={"dropout": 0.0})})


@pytest.mark.parametrize("name", ALL_SPECS)
def test_losses_are_near_those_of_a_cpu(name: str, home: Path) -> None:
    spec = without_dropout(ALL_SPECS[name])
    on_gpu, on_cpu = (
        np.frombuffer(run_and_record(start_training(spec, home, device)).columns["loss"], "<f4")
        for device in (GPU, CPU)
    )
    np.testing.assert_allclose(on_gpu, on_cpu, rtol=TOLERANCES[spec.compute.precision], atol=1e-4)


@pytest.mark.parametrize("name", ALL_SPECS)
def test_two_trainings_are_equal_bit_for_bit(name: str, home: Path) -> None:
    first, second = (run_and_record(start_training(ALL_SPECS[name], home, GPU)) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("name", SPECS)
def test_resumed_at_any_tick_is_the_straight_training(name: str, tmp_path: Path) -> None:
    spec = SPECS[name]
    straight = run_and_record(start_training(spec, device=GPU))
    for tick, folder, before in train_saving_at(spec, AT, tmp_path, device=GPU):
        after = run_and_record(resume_training(spec, folder, device=GPU))
        assert tick == TICKS or join_records(before, after) == straight, f"resumed at tick {tick}"
        assert after.state == straight.state and after.metrics == straight.metrics


def test_the_canary_is_the_same_twice_and_not_a_cpus() -> None:
    machine.configure_torch(1)
    first, second = canary.compute_canary(GPU), canary.compute_canary(GPU)
    assert first == second != canary.compute_canary(CPU)


def test_the_fingerprint_names_the_gpu_and_what_computes_on_it() -> None:
    gpu = machine.fingerprint("eager", GPU, 1)["gpu"]
    assert isinstance(gpu, dict) and all(
        gpu[name] for name in ("name", "capability", "driver", "cuda", "cudnn", "memory_bytes")
    )


@pytest.mark.parametrize("hidden", [[2048, 2048], [1024] * 6])
def test_the_estimate_of_the_memory_is_enough_and_not_far_off(hidden: list[int]) -> None:
    spec = read_small_spec(
        model={"family": "mlp", "hidden": hidden}, batch_size=8192, compute={"device": "cuda"},
        data={"source": "synthetic", "kind": "regression", "samples": 65_536, "features": 64},
    )  # fmt: skip
    spec = resolve_device(spec, [])
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    run_and_record(start_training(spec, device=GPU), until=5)
    peak = torch.cuda.max_memory_allocated() - before
    estimated = estimate_memory_bytes(spec) - GPU_PROCESS_BYTES
    assert peak <= 1.2 * estimated and estimated <= 2 * peak, (peak, estimated)
