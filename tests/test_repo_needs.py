"""Tests that need a program are skipped without it, and fail where all tests must run."""

import re
from pathlib import Path

import pytest

from tests.conftest import pytest_runtest_setup
from tests.needs import (
    C_COMPILER,
    CPP_COMPILER,
    REQUIRE_ALL,
    is_everything_required,
    needs,
    require_program,
)
from tests.support import ROOT

MISSING = "no-such-program"


@pytest.mark.parametrize(
    ("environ", "required"),
    [
        ({}, False),
        ({"CI": ""}, False),
        ({"CI": "false"}, False),
        ({"CI": "true"}, True),
        ({"CI": "1"}, True),
        ({REQUIRE_ALL: "1"}, True),
        ({REQUIRE_ALL: "0"}, False),
        ({REQUIRE_ALL: "0", "CI": "true"}, False),
    ],
)
def test_all_programs_are_required_in_ci_or_by_the_setting(
    environ: dict[str, str], required: bool
) -> None:
    assert is_everything_required(environ) is required


def test_a_missing_program_skips_with_its_name() -> None:
    with pytest.raises(pytest.skip.Exception, match=f"no {MISSING} here"):
        require_program(MISSING, {})


def test_a_missing_program_fails_in_ci() -> None:
    with pytest.raises(pytest.fail.Exception, match=f"no {MISSING} here, and CI"):
        require_program(MISSING, {"CI": "true"})


@pytest.mark.parametrize("environ", [{}, {"CI": "true"}])
def test_an_installed_program_lets_the_test_run(environ: dict[str, str]) -> None:
    require_program("sh", environ)


@pytest.mark.parametrize(
    ("setting", "outcome"), [("0", pytest.skip.Exception), ("1", pytest.fail.Exception)]
)
def test_a_marked_test_is_decided_before_it_is_set_up(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    setting: str,
    outcome: type[BaseException],
) -> None:
    monkeypatch.setenv(REQUIRE_ALL, setting)
    request.node.add_marker(needs("sh", MISSING))
    with pytest.raises(outcome):
        pytest_runtest_setup(request.node)


@pytest.mark.parametrize("name", [C_COMPILER, CPP_COMPILER])
def test_a_compiler_is_one_that_the_engines_find(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr("ticks.engines.graph.build_loop.is_ready", lambda: False)
    with pytest.raises(pytest.skip.Exception):
        require_program(name, {})


def test_ci_installs_every_program_that_a_test_needs() -> None:
    files = set((ROOT / "tests").glob("*.py")) - {Path(__file__)}
    sources = "".join(file.read_text() for file in sorted(files))
    programs = set(re.findall(r'\b(?:needs|require_program)\("([^"]+)"', sources))
    packages = re.search(r'^packages="(.*)"$', (ROOT / ".ci/run").read_text(), re.M)
    assert packages is not None
    assert programs | {"gcc", "g++"} == set(packages[1].split())
