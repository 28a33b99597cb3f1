"""The emitted C steps out of no array and does nothing undefined."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.native_runs import needs_compiler
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


def sanitized(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run Python with the sanitizers' library loaded first."""
    environment = {
        **os.environ, "LD_PRELOAD": sanitizer(), "PYTHONPATH": str(ROOT), "PYTHONMALLOC": "malloc",
        "ASAN_OPTIONS": "detect_leaks=0", "UBSAN_OPTIONS": "print_stacktrace=1",
        "TMPDIR": str(folder),
    }  # fmt: skip
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True,
        timeout=280,
    )  # fmt: skip


@pytest.mark.slow
def test_the_sanitizers_report_no_error(tmp_path: Path) -> None:
    completed = sanitized(tmp_path, "-m", "tests.native_sanitized", str(tmp_path), "6", "8", "17")

    assert completed.returncode == 0, completed.stderr[-3000:]


@pytest.mark.slow
def test_a_step_beyond_an_array_would_be_found(tmp_path: Path) -> None:
    """The sanitizers' run, of templates that read one input too many of a row."""
    code = (
        "from ticks.engines.native import codegen; from tests import native_sanitized as s;"
        "from pathlib import Path; sound = codegen.read_template;"
        "codegen.read_template = lambda n: sound(n).replace('k < INPUTS', 'k < 40 * INPUTS');"
        f"s.main(Path({str(tmp_path)!r}), [2])"
    )
    completed = sanitized(tmp_path, "-c", code)

    assert completed.returncode != 0 and "AddressSanitizer" in completed.stderr
