"""Clients generated from the served document drive jobs: in Python, and in TypeScript on Node.

The generators are openapi-python-client, @hey-api/openapi-ts and openapi-typescript: they need no
network and read OpenAPI 3.1.
"""

import importlib
import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from api import upload_format
from tests.datasets import PETS
from tests.needs import TYPESCRIPT, needs
from tests.processes import running_service
from tests.support import wait_until
from tests.typescript_project import PROGRAMS, build_project, run_node

NAME = "generated_tickforge"
CONFIG = {"package_name_override": NAME, "project_name_override": NAME, "post_hooks": []}
#: what this generator cannot do: read responses of media types that it does not know
FILE_PATHS = ("curve.svg", "curve.png", "export/wandb")
#: and send a raw body that is neither JSON nor a form; it uploads files as forms
LEFT_OUT = "POST /v1/datasets"
SPEC = {
    "name": "by a generated client",
    "model": {"family": "mlp", "hidden": [8], "norm": "rms"},
    "data": {"source": "synthetic", "kind": "classification", "samples": 60, "features": 3},
    "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9},
    "budget": {"ticks": 40},
    "validation": {"fraction": 0.2, "every_ticks": 10},
    "checkpoint": {"at_start": True, "every_ticks": 10, "keep": 1, "keep_best": False},
}


@dataclass(frozen=True)
class Generated:
    """The package that was made, and what was said about it."""

    generator_output: str
    url: str
    key: str

    def call(self, where: str, *path: str, **parameters: Any) -> Any:
        """Call an operation by its tag and id; gives the parsed answer, which must be a success."""
        package = importlib.import_module(NAME)
        operation = importlib.import_module(f"{NAME}.api.{where}")
        with package.AuthenticatedClient(base_url=self.url, token=self.key) as client:
            response = operation.sync_detailed(*path, client=client, **parameters)
        assert response.status_code < 400, response.content
        return response.parsed

    def model(self, name: str) -> Any:
        return getattr(importlib.import_module(f"{NAME}.models"), name)


class Served(NamedTuple):
    """A service and its document."""

    url: str
    key: str
    document: str


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    with running_service(folder) as service:
        key = (folder / "data" / "admin.key").read_text().strip()
        yield Served(service.url, key, httpx.get(f"{service.url}/openapi.json").text)


@pytest.fixture(scope="module")
def generated(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Generated]:
    folder = tmp_path_factory.mktemp("generated")
    with pytest.MonkeyPatch.context() as patched:
        (folder / "openapi.json").write_text(served.document)
        generator_output = generate(folder)
        patched.syspath_prepend(str(folder))
        yield Generated(generator_output, served.url, served.key)
        for name in [module for module in sys.modules if module.partition(".")[0] == NAME]:
            del sys.modules[name]


def generate(folder: Path) -> str:
    """Run the generator; gives all it said."""
    (folder / "config.yaml").write_text(json.dumps(CONFIG))
    completed = subprocess.run(
        [
            sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none",
            "--path", "openapi.json", "--config", "config.yaml", "--output-path", NAME,
        ],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    output = completed.stdout + completed.stderr
    assert completed.returncode == 0, output
    return output


def test_the_generator_warns_of_raw_uploads_of_images_and_of_a_tar_alone(
    generated: Generated,
) -> None:
    output = generated.generator_output
    warned = [line for line in output.splitlines() if "WARNING" in line]
    of_files = [line for line in warned if any(path in line for path in FILE_PATHS)]
    of_uploads = [line for line in warned if LEFT_OUT in line]
    assert len(of_files) == len(FILE_PATHS), output
    assert len(of_uploads) == 2 * len(upload_format.MEDIA_TYPES), output  # uploads and appends
    assert len(warned) == len(of_files) + len(of_uploads), output
    assert "ERROR" not in output


def test_a_generated_client_uploads_a_file_as_a_form(generated: Generated) -> None:
    file_class = importlib.import_module(f"{NAME}.types").File
    file = file_class(io.BytesIO(PETS), file_name="pets.csv")
    body = generated.model("UploadDatasetFilesUploadForm")(file=file)

    dataset = generated.call("datasets.upload_dataset", body=body, missing=["-"])

    assert (dataset.name, dataset.rows) == ("pets.csv", 6)
    assert str(dataset.type_) == "text/csv"


def test_a_generated_client_trains_a_job(generated: Generated) -> None:
    spec = generated.model("JobSpecRequest").from_dict(SPEC)
    assert spec.to_dict()["optimizer"]["momentum"] == 0.9, "the right branch of each union"
    planned = generated.call("jobs.plan_job", body=spec)
    assert (planned.ticks_total, planned.spec.batch_size) == (40, 32)

    job = generated.call("jobs.submit_job", body=spec)
    assert (job.name, job.spec.model.family) == (SPEC["name"], "mlp")
    ended = wait_until(lambda: over(generated.call("jobs.get_job", job.id)), 60, "the job's end")
    assert (str(ended.status), ended.tick, ended.stopped_by) == ("succeeded", 40, "budget")

    history = generated.call("history.get_history", job.id, columns="loss,val_loss")
    assert history.tick == list(range(1, 41)) and history.complete
    assert len(history["loss"]) == 40 and history["val_loss"]["tick"] == [10, 20, 30, 40]
    checkpoints = generated.call("checkpoints.list_checkpoints", job.id).data
    assert [item.tick for item in checkpoints] == [0, 30, 40], (
        "the initial, one periodic, the final one"
    )
    assert checkpoints[-1].is_final and {file.name for file in checkpoints[-1].files} >= {
        "model.safetensors"
    }
    seen = generated.call("events.list_events", job.id).data
    assert seen[-1].data.to_dict()["status"] == "succeeded"
    assert job.id in [item.id for item in generated.call("jobs.list_jobs").data]
    generated.call("jobs.delete_job", job.id)


def over(job: Any) -> Any:
    return job if job.finished_at else None


def test_a_generated_client_reads_problems(generated: Generated) -> None:
    package = importlib.import_module(NAME)
    submit = importlib.import_module(f"{NAME}.api.jobs.submit_job")
    spec = generated.model("JobSpecRequest").from_dict(SPEC | {"batch_size": 60})
    with package.AuthenticatedClient(base_url=generated.url, token=generated.key) as client:
        refused = submit.sync(client=client, body=spec)
    assert refused.type_ == "urn:tickforge:problem:invalid-spec"
    assert refused.errors[0].to_dict()["pointer"] == "/batch_size"


@needs(TYPESCRIPT)
def test_clients_in_typescript_compile_upload_train_and_follow(
    served: Served, tmp_path: Path
) -> None:
    build_project(tmp_path, served.document)
    environ = {"TICKFORGE_URL": served.url, "TICKFORGE_KEY": served.key}
    with_functions, with_types = (
        run_node(tmp_path, f"build/{name}.js", **environ).splitlines() for name in PROGRAMS
    )

    assert with_functions[0] == "uploaded boxes.csv 60"
    assert with_functions[-2:] == ["status succeeded", "ended succeeded 60"]
    validated = [line.split()[1] for line in with_functions if line.startswith("validation ")]
    assert validated == ["20", "40", "60"][3 - len(validated) :], "those after the stream began"
    assert with_types[0] == "uploaded words.txt 369"
    assert re.fullmatch(r"planned \d+ language_model", with_types[1])
