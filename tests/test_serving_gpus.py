"""serve.py on a machine with GPUs, as far as a CPU shows it: two that the driver lists.

torch has no CUDA here, or finds that these devices are none: their workers say so, and the service
is ready for what CPUs can do.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fake_nvml import GIB, FakeGpu, build_library
from tests.needs import C_COMPILER, needs
from tests.processes import JobClient, ServiceProcess, running_service
from tests.support import small_spec
from tests.test_api_metrics import value
from tests.test_serving_serve import refused
from tickforge_client import cli

pytestmark = needs(C_COMPILER)
GPUS = (
    FakeGpu("GPU-5f3c0000-0000", "NVIDIA Simulated 80GB"),
    FakeGpu("GPU-77aa0000-0000", "NVIDIA Simulated 24GB", memory=24 * GIB),
)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a driver's library that shows GPUS."""
    folder = tmp_path_factory.mktemp("driver")
    build_library(folder, GPUS)
    return str(folder)


@pytest.fixture(scope="module")
def service(library: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    with running_service(tmp_path_factory.mktemp("gpus"), LD_LIBRARY_PATH=library) as running:
        yield running


@pytest.fixture(scope="module")
def workers(service: ServiceProcess) -> dict[str, dict[str, Any]]:
    """The live workers by the end of their names."""
    with service.http as http:
        listed = http.get("/v1/workers").raise_for_status().json()["data"]
    return {worker["name"].rsplit("-", 1)[1]: worker for worker in listed}


def test_every_gpu_gets_a_worker_beside_those_of_cpus(workers: dict[str, dict[str, Any]]) -> None:
    queues = {name: worker["queue"] for name, worker in workers.items()}
    assert queues == {"1": "cpu", "cuda0": "cuda", "cuda1": "cuda"}
    assert workers["1"]["gpu"] is None and workers["1"]["device_error"] is None
    for number, gpu in enumerate(GPUS):
        shown = workers[f"cuda{number}"]["gpu"]
        assert (shown["name"], shown["uuid"], shown["index"]) == (gpu.name, gpu.uuid, number)
        assert shown["memory_bytes"] == workers[f"cuda{number}"]["memory_bytes"] == gpu.memory


def test_a_gpus_worker_and_its_fork_server_see_that_gpu_alone(
    service: ServiceProcess, workers: dict[str, dict[str, Any]]
) -> None:
    for number, gpu in enumerate(GPUS):
        pid = workers[f"cuda{number}"]["pid"]
        family = [
            process
            for role in ("worker", "child", "template")
            for process in service.processes.processes_of(role)
            if pid in (process.pid, process.ppid())
        ]
        assert len(family) == 3
        seen = {process.environ().get("CUDA_VISIBLE_DEVICES") for process in family}
        assert seen == {gpu.uuid}
    assert workers["1"]["pid"] in [
        process.pid
        for process in service.processes.processes_of("worker")
        if "CUDA_VISIBLE_DEVICES" not in process.environ()
    ]


def test_a_worker_whose_gpu_torch_cannot_use_says_why_and_takes_no_job(
    service: ServiceProcess, workers: dict[str, dict[str, Any]]
) -> None:
    for name in ("cuda0", "cuda1"):
        assert "sees no CUDA device" in workers[name]["device_error"]
        assert workers[name]["engines"] == [] and workers[name]["canaries"] == {}
    jobs = JobClient(service)
    waiting = jobs.submit(small_spec(compute={"device": "cuda"}))
    assert jobs.wait_for_end(jobs.submit(small_spec()))["device"] == "cpu"

    job = jobs.get(waiting)
    assert job["attempt"] == 0 and job["queue"]["reason"] == "no_worker"
    jobs.request(waiting, "cancel")


def test_metrics_and_the_command_line_name_the_gpus(
    service: ServiceProcess,
    workers: dict[str, dict[str, Any]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    with service.http as http:
        metrics = http.get("/metrics").text
        key = http.headers["Authorization"].removeprefix("Bearer ")
    assert cli.main(["workers", "--url", service.url, "--key", key]) == 0
    table = capsys.readouterr().out
    for number, gpu in enumerate(GPUS):
        worker = workers[f"cuda{number}"]
        labels = {"gpu": gpu.name, "usable": "false", "worker": worker["name"]}
        assert value(metrics, "tickforge_gpu_memory_bytes", **labels) == gpu.memory
        assert f"cuda, {gpu.name}, {gpu.memory / 1e9:.1f} GB" in table
        assert f"{worker['name']}: {worker['device_error']}" in table
    assert value(metrics, "tickforge_workers", queue="cpu") == 1
    assert value(metrics, "tickforge_workers", queue="cuda") is None  # none that takes jobs


def test_the_self_test_of_a_gpu_that_torch_cannot_use_is_one_line(
    library: str, tmp_path: Path
) -> None:
    command = ["-m", "workers", "--selftest", "--queue", "cuda"]
    code, message = refused(command, tmp_path, LD_LIBRARY_PATH=library)
    assert code == 1 and message.startswith("error: torch ") and "sees no CUDA device" in message
    assert f"the driver shows {GPUS[0].name} ({GPUS[0].uuid})" in message


@pytest.mark.parametrize(("gpus", "named"), [("2", "no GPU 2"), ("none,0", "none, or numbers")])
def test_a_gpu_that_is_not_there_is_a_wrong_setting(
    library: str, tmp_path: Path, gpus: str, named: str
) -> None:
    command = ["serve.py", "--port", "0", "--data", str(tmp_path / "data"), "--gpus", gpus]
    code, message = refused(command, tmp_path, LD_LIBRARY_PATH=library)

    assert code == 2 and named in message and message.startswith("error: TICKFORGE_GPUS=")
    assert not (tmp_path / "data").exists()
