"""What a CPU shows of trainings on a GPU: devices, settings, forks. test_ticks_gpu has the rest.

torch's device `meta` has shapes and no values. Like a GPU it refuses to compute with a tensor that
was left on the CPU, so a tick on it shows that everything is on the trainer's device.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import ticks.trainer
from jobs.spec.job_spec import JobSpec
from tests.support import ROOT
from tests.test_ticks_exact_resume import SPECS
from tests.test_ticks_transformer_exact import SPECS as TEXT_SPECS
from tests.test_ticks_transformer_exact import TEXT
from tests.texts import write_texts
from ticks import canary, machine
from ticks.data.load import load_data
from ticks.trainer import Trainer

ELSEWHERE = torch.device("meta")
ON_DEVICE: dict[str, JobSpec] = {
    name: spec
    for name, spec in {
        **SPECS,
        **{f"text, {name}": TEXT_SPECS[name] for name in TEXT_SPECS},
    }.items()
    if spec.compute.precision == "float32"  # torch has no autocast for this device
}
#: fails at the first call that counts devices or makes a context
FORK_SERVER_WITHOUT_CUDA = """
import torch
def refuse(*_arguments, **_named):
    raise SystemExit("CUDA was touched")
for name in ("is_available", "device_count", "init", "_lazy_init", "current_device"):
    setattr(torch.cuda, name, refuse)
from ticks.process import forkserver
forkserver.preload()
import os
os.write(1, b"ready")
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_texts(tmp_path_factory.mktemp("artifacts"), text=TEXT)


@pytest.mark.parametrize("name", ON_DEVICE)
def test_a_tick_leaves_nothing_on_another_device(
    name: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ticks.trainer, "dropout_generator", lambda _device: torch.Generator())
    machine.configure_torch(1)
    spec = ON_DEVICE[name]
    trainer = Trainer(spec, load_data(spec, ELSEWHERE, home).training, ELSEWHERE)
    for tick in (1, 2):  # the second has an optimizer's state
        result = trainer.forward_backward(trainer.batches.batch(tick))
        trainer.optimizer_step(result.gradients, spec.rate(tick))
        trainer.ticks_done = tick
    trainer.restore_buffers()
    tensors = {
        key: tensor.device.type
        for state in trainer.optimizer.state.values()
        for key, tensor in state.items()
    }
    assert result.loss.device == ELSEWHERE
    assert tensors.pop("step", "cpu") == "cpu"  # a counter, which no kernel reads
    assert set(tensors.values()) <= {"meta"}


def test_the_fork_server_never_touches_cuda() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", FORK_SERVER_WITHOUT_CUDA], cwd=ROOT, capture_output=True, text=True
    )
    assert ran.stdout == "ready", ran.stderr


def test_kernels_that_round_factors_or_differ_from_run_to_run_are_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    machine.configure_torch(1)
    backends = torch.backends
    assert torch.are_deterministic_algorithms_enabled() and backends.cudnn.deterministic
    assert not backends.cudnn.benchmark
    assert not backends.cudnn.allow_tf32 and not backends.cuda.matmul.allow_tf32
    assert not backends.cuda.mem_efficient_sdp_enabled() and not backends.cuda.cudnn_sdp_enabled()
    assert machine.os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


def test_equal_kernels_of_unlike_gpus_have_unlike_canaries(monkeypatch: pytest.MonkeyPatch) -> None:
    machine.configure_torch(1)
    cpu = torch.device("cpu")
    gpu: dict[str, Any] = {"name": "H100", "multiprocessors": 132, "driver": "580.65.06"}
    described: list[dict[str, Any] | None] = [
        None, gpu, {**gpu, "multiprocessors": 114}, {**gpu, "driver": "590.1"},
    ]  # fmt: skip
    canaries = []
    for description in described:
        monkeypatch.setattr(canary, "describe_gpu", lambda _device, shown=description: shown)
        canaries.append(canary.compute_canary(cpu))
    assert len(set(canaries)) == len(described)
    monkeypatch.undo()
    assert canary.compute_canary(cpu) == canaries[0]


def test_a_device_that_torch_cannot_use_is_refused_in_one_sentence() -> None:
    if torch.cuda.is_available():
        pytest.skip("torch can use a GPU here")
    with pytest.raises(machine.DeviceUnavailable, match=r"^torch 2\S+, built for .* sees no CUDA"):
        machine.check_device(torch.device("cuda"))
    machine.check_device(torch.device("cpu"))
