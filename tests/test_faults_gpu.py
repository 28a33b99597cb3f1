"""A whole service on a machine with a GPU: a killed trainer and worker change no bit.

Skipped where torch cannot use a GPU.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import JobClient, running_service
from tests.support import ROOT, small_spec

pytestmark = pytest.mark.gpu
DEVICE = "cuda"
SPEC = small_spec(
    model={"family": "mlp", "hidden": [64, 64], "dropout": 0.1},
    budget={"ticks": 8000},
    checkpoint={"every_ticks": 1000},
    validation={"fraction": 0.25, "every_ticks": 1000},
    compute={"device": DEVICE},
)


def test_kills_change_no_bit_and_a_resumed_job_stays_on_its_device(tmp_path: Path) -> None:
    with running_service(tmp_path, TICKFORGE_GPUS="0") as service:
        jobs = JobClient(service)
        straight = jobs.submit(SPEC)
        assert jobs.wait_for_end(straight, 300)["status"] == "succeeded"
        attacked = jobs.submit(SPEC)
        for number, role in enumerate(("trainer", "child", "worker"), start=1):
            jobs.wait_for(attacked, lambda job: job["tick"] > 1200 * number, 300)  # noqa: B023
            service.processes.kill(role)
        jobs.wait_for_tick(attacked, 4800)
        jobs.request(attacked, "pause")
        jobs.wait_for(attacked, lambda job: job["status"] == "paused", 60)
        jobs.request(attacked, "resume")
        job = jobs.wait_for_end(attacked, 300)

        assert job["status"] == "succeeded" and job["device"] == DEVICE and job["exact"]
        assert jobs.result_bits(attacked) == jobs.result_bits(straight)
        attempts = jobs.attempts(attacked)
        for fork_server in service.processes.processes_of("template"):
            descriptors = Path(f"/proc/{fork_server.pid}/fd").iterdir()
            opened = [os.readlink(descriptor) for descriptor in descriptors]
            maps = Path(f"/proc/{fork_server.pid}/maps").read_text()
            assert "libcuda.so" not in maps and not any("/dev/nvidia" in path for path in opened)
        assert len(attempts) > 1 and {attempt["device"] for attempt in attempts} == {DEVICE}


def test_the_self_test_of_a_gpu_names_it_and_measures_its_speed() -> None:
    command = [sys.executable, "-m", "workers", "--selftest", "--queue", DEVICE]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    report = json.loads(ran.stdout)
    assert report["device"] == DEVICE and report["engines"] == ["eager"]
    assert report["ticks_per_second"] > 0 and len(report["canary"]) == 32
    names = ("name", "uuid", "memory_bytes", "driver", "capability", "cuda", "cudnn")
    assert all(report["gpu"][name] for name in names)
