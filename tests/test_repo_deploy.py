"""Images and compose file, checked as far as possible without a container engine."""

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml

from jobs.queries import worker_registry
from jobs.settings import Settings
from serving.embedded_store import DURABILITY_SETTINGS
from tests.support import ADMIN_KEY, ROOT, process_environment

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
STAGES = {
    match["name"]: match["body"]
    for match in re.finditer(
        r"^FROM (?P<base>\S+) AS (?P<name>\S+)\n(?P<body>.*?)(?=^FROM |\Z)", DOCKERFILE, re.M | re.S
    )
}


def copied(stage: str, into: Path) -> None:
    """Lay out what an image of this stage holds of the repository."""
    for source, target in re.findall(r"^COPY (\S+) (\S+)$", STAGES[stage], re.M):
        if (ROOT / source).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / source, into / target, ignore=ignored)


def run_in(folder: Path, *code: str) -> "subprocess.CompletedProcess[str]":
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, *code], cwd=folder, env=env, capture_output=True, text=True, timeout=100
    )


@pytest.mark.parametrize(
    ("stage", "code"),
    [
        (
            "api",
            "import api.app, api.server, api.openapi; api.openapi.document_json(api.app.ENDPOINTS)",
        ),
        (
            "worker-files",
            "import workers.tasks, workers.reconciler, ticks.process.commands; "
            "import ticks.process.forkserver",
        ),
    ],
)
def test_an_image_holds_every_file_that_its_process_needs(
    stage: str, code: str, tmp_path: Path
) -> None:
    copied(stage, tmp_path)
    completed = run_in(tmp_path, "-c", code)

    assert completed.returncode == 0, completed.stderr


def test_the_api_image_has_no_torch_and_every_package_is_pinned() -> None:
    pins = dict(
        line.split("==")
        for line in (ROOT / "requirements.txt").read_text().splitlines()
        if "==" in line
    )
    installed = {
        stage: re.findall(r"[a-z][a-z-]+", line.split("requirements.txt", 1)[1].split("}")[-1])
        for stage, body in STAGES.items()
        for line in re.findall(r"^RUN pip install -c (.*)$", body, re.M)
    }
    assert "torch" not in installed["api"] and "torch" in installed["worker"]
    assert {name for names in installed.values() for name in names} <= set(pins)


def test_every_image_runs_unprivileged_and_has_a_health_check() -> None:
    for stage in ("api", "worker", "worker-cuda"):
        assert "USER tickforge" in STAGES[stage] and "HEALTHCHECK" in STAGES[stage]


def test_the_cpu_worker_has_compilers_and_a_loop_compiled_by_its_user() -> None:
    lines = STAGES["worker"].splitlines()
    installed = next(line for line in lines if "apt-get install" in line)
    assert {"gcc", "g++"} <= set(installed.split())
    assert lines.index("USER tickforge") < lines.index("RUN python -m ticks.engines.graph")


def test_the_composed_store_keeps_what_it_acknowledges() -> None:
    words = COMPOSE["services"]["store"]["command"]
    options = {words[at].removeprefix("--"): words[at + 1] for at in range(1, len(words), 2)}

    assert {name: options.get(name) for name in DURABILITY_SETTINGS} == DURABILITY_SETTINGS


def test_the_composed_services_have_settings_that_are_accepted() -> None:
    for name in ("api", "worker", "worker-cuda"):
        service = COMPOSE["services"][name]
        environment = {**service["environment"], "TICKFORGE_ADMIN_KEY": ADMIN_KEY}
        assert Settings.from_env(environment).redis_url == "redis://store:6379"
        assert service["build"]["target"] in STAGES
        assert service["depends_on"]["store"]["condition"] == "service_healthy"


def test_the_image_for_gpus_has_a_torch_with_cuda_and_its_container_one_device() -> None:
    stage, service = STAGES["worker-cuda"], COMPOSE["services"]["worker-cuda"]
    installed = re.search(r"^RUN pip install .*--extra-index-url.* torch$", stage, re.M)
    checked = re.search(r"^RUN python -c .*torch\.version\.cuda or sys\.exit", stage, re.M)
    assert installed is not None and checked is not None and installed.end() < checked.start()
    assert "utility" in stage  # NVML, which the worker is found by
    assert 'CMD ["python", "-m", "workers", "--queue", "cuda"]' in stage
    (devices,) = service["deploy"]["resources"]["reservations"]["devices"]
    assert len(devices["device_ids"]) == 1 and devices["capabilities"] == ["gpu"]
    assert service["profiles"] == ["gpu"], "without it, compose starts none"


def test_a_worker_is_healthy_while_its_heartbeat_is_fresh(
    store: "redis.Redis", store_server: str, tmp_path: Path
) -> None:
    def alive() -> int:
        return subprocess.run(
            [sys.executable, "-m", "workers", "--alive"], cwd=ROOT, timeout=100,
            env=process_environment(store_server, tmp_path),
        ).returncode  # fmt: skip

    assert alive() == 1
    name, unusable = f"{socket.gethostname()}-17", {"device_error": "torch sees no device"}
    worker_registry.register(store, name, {"queue": "cuda", **unusable}, 60)
    assert alive() == 1
    worker_registry.register(store, name, {"queue": "cpu"}, 60)
    assert alive() == 0
