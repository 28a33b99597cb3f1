"""The emitted C steps out of no array and does nothing undefined."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.native_runs import needs_compiler
from tests.native_sanitized import NOTHING_FOUND
from tests.needs import skip_or_fail
from tests.support import ROOT
from ticks.engines.native import compiler

pytestmark = needs_compiler


def sanitizer() -> str:
    """Return the path of the compiler's address sanitizer; without one the test is skipped."""
    c_compiler = compiler.find_compiler()
    assert c_compiler is not None
    library = subprocess.run(
        [*c_compiler.command, "-print-file-name=libasan.so"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    if not Path(library).is_absolute():
        skip_or_fail("address sanitizer")
    return str(Path(library).resolve())


@pytest.fixture(scope="module")
def completed(tmp_path_factory: pytest.TempPathFactory) -> "subprocess.CompletedProcess[str]":
    """One run with the sanitizers' library loaded first: of sound code, then of broken code."""
    folder = tmp_path_factory.mktemp("sanitized")
    environment = {
        **os.environ, "LD_PRELOAD": sanitizer(), "PYTHONPATH": str(ROOT), "PYTHONMALLOC": "malloc",
        "ASAN_OPTIONS": "detect_leaks=0", "UBSAN_OPTIONS": "print_stacktrace=1",
        "TMPDIR": str(folder),
    }  # fmt: skip
    return subprocess.run(
        [sys.executable, "-m", "tests.native_sanitized", str(folder), "2", "6", "8", "17"],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=280,
    )  # fmt: skip


@pytest.mark.slow
def test_the_sanitizers_report_no_error(completed: "subprocess.CompletedProcess[str]") -> None:
    assert completed.stdout == f"{NOTHING_FOUND}\n", completed.stderr[-3000:]


@pytest.mark.slow
def test_a_step_beyond_an_array_would_be_found(
    completed: "subprocess.CompletedProcess[str]",
) -> None:
    assert completed.returncode != 0 and "AddressSanitizer" in completed.stderr
