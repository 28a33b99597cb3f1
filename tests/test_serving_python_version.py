"""The oldest Python that the service runs on: one number everywhere, and a clear refusal."""

import re
import subprocess
import sys
from importlib.metadata import requires

import pytest
from packaging.requirements import Requirement

from jobs.python_version import MIN_PYTHON
from tests.support import ROOT

VERSION = ".".join(map(str, MIN_PYTHON))
AS_OLD = (
    "import runpy, sys; sys.version_info = (3, 11, 2, 'final', 0); sys.argv = sys.argv[1:]; "
    "run = runpy.run_path if sys.argv[0].endswith('.py') else runpy.run_module; "
    "run(sys.argv[0], run_name='__main__')"
)


@pytest.mark.parametrize("program", ["serve.py", "api", "workers"])
def test_an_older_python_is_refused_with_both_versions(program: str) -> None:
    command = [sys.executable, "-c", AS_OLD, program]
    completed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert completed.returncode == 2
    (line,) = completed.stderr.splitlines()
    assert f"needs Python {VERSION} or newer" in line and line.endswith("is 3.11.2")


@pytest.mark.parametrize(
    "file", ["Makefile", "Dockerfile", "pyproject.toml", "README.md", "requirements.txt"]
)
def test_every_place_names_the_same_oldest_python(file: str) -> None:
    text = (ROOT / file).read_text()
    named = {".".join(re.findall(r"\d+", item)) for item in re.findall(r"\(3, 11, \d+\)", text)}
    named |= set(re.findall(r"(?<!==)\b3\.11\.\d+", text))
    assert named == ({VERSION} if file != "requirements.txt" else set())


def test_the_requirements_need_nothing_unpinned_on_it() -> None:
    """Some are needed on older patches alone, and would be installed in any version there."""
    pinned = [
        Requirement(line)
        for line in (ROOT / "requirements.txt").read_text().splitlines()
        if line and not line.startswith(("#", "-"))
    ]
    names = {normalize(item.name) for item in pinned}
    environment = {"python_full_version": VERSION, "python_version": "3.11", "extra": ""}
    for item in pinned:
        for needed in map(Requirement, requires(item.name) or ()):
            if needed.marker is None or needed.marker.evaluate(environment):
                assert normalize(needed.name) in names, f"{needed} of {item}"


def normalize(name: str) -> str:
    """Return a package's name as indexes spell it."""
    return re.sub(r"[-_.]+", "-", name).lower()
