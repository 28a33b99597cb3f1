"""What API and workers share at rest: the modules that serve.py imports for both, and no more."""

import importlib.metadata
import json
import subprocess
import sys
from contextlib import closing
from typing import Any

import pytest

from jobs.store.connection import connect, connection_options
from tests.support import ROOT

PARENT = """
import json, sys
from serving.forked_program import preload
from serving.main import PROGRAMS
preload(PROGRAMS)
from api.openapi import document_json
name = sys.intern("an_attribute_" + "of_no_type")
unused = sys.getrefcount(name)
hasattr(preload, name)
cached = sys.getrefcount(name)
preload(())
import psutil
print(json.dumps({
    "modules": sorted(sys.modules),
    "documents": document_json.cache_info().currsize,
    "references": [cached - unused, sys.getrefcount(name) - unused],
}))
"""
#: each takes 1 MiB or more, and nothing that runs before a request or a job needs it
UNUSED_AT_REST = {
    "anyio", "httpx", "matplotlib", "mypy", "onnx", "onnxruntime", "pandas",
    "pyarrow", "pytest", "rich", "scipy", "tensorboard", "torch", "unittest", "wandb", "yaml",
}  # fmt: skip


@pytest.fixture(scope="module")
def shared() -> dict[str, Any]:
    """What a process has in memory that has prepared to be forked."""
    command = [sys.executable, "-c", PARENT]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    facts: dict[str, Any] = json.loads(ran.stdout)
    return facts


def test_the_shared_parent_imports_what_its_programs_need_and_nothing_large_beside(
    shared: dict[str, Any],
) -> None:
    assert {"celery.apps.worker", "gunicorn.workers.gthread", "flask"} <= set(shared["modules"])
    assert not UNUSED_AT_REST & set(shared["modules"])
    assert shared["documents"] == 0  # of the API: 2 MiB, for the few who ask


def test_a_package_that_preloading_hides_can_be_imported_afterwards(
    shared: dict[str, Any],
) -> None:
    assert "psutil" in shared["modules"]


def test_a_fork_replaces_no_name_in_the_cache_of_attributes(shared: dict[str, Any]) -> None:
    assert shared["references"] == [1, 0]


def test_a_connection_does_not_parse_the_metadata_of_its_package(
    store_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(package: str) -> str:
        raise AssertionError(f"the metadata of {package} were read")

    monkeypatch.setattr(importlib.metadata, "version", refuse)
    with closing(connect(store_server)) as client:
        client.ping()
    options = connection_options(store_server)
    connection = options.pop("connection_class")(**options)
    connection.connect()
    connection.disconnect()
