"""Programs that a test needs. Where one is missing the test is skipped, and in CI it fails.

So a green run of CI has run everything. What stays optional (clang, a GPU) skips everywhere.
"""

import importlib.util
import os
import shutil
from collections.abc import Callable, Mapping
from typing import NoReturn

import pytest

from tests import node_packages

REQUIRE_ALL = "TICKFORGE_REQUIRE_ALL"
CHROMIUM_NAMES = ("chromium", "chromium-browser", "chrome")
C_COMPILER = "C compiler"
CPP_COMPILER = "C++ compiler"
PYARROW = "pyarrow"  # make parquet
ONNX = "onnx"  # make onnx
PANDAS = "pandas"  # make pandas
TYPESCRIPT = "TypeScript"  # make typescript
TENSORBOARD, WANDB = "tensorboard", "wandb"  # make trackers
SCIKIT_LEARN = "scikit-learn"  # make scikit-learn


def needs(*programs: str) -> pytest.MarkDecorator:
    """Mark a test, or a file as `pytestmark`, that needs these programs."""
    return pytest.mark.needs(*programs)


def require_program(program: str, environ: Mapping[str, str] = os.environ) -> None:
    """Skip the test if the program is missing, or fail it where all tests must run."""
    if not _is_installed(program):
        skip_or_fail(program, environ)


def require_gpu() -> None:
    """Skip the test, also where all tests must run, unless torch can compute on a GPU here."""
    from jobs.gpus.discovery import list_gpus

    gpus = list_gpus()
    if not gpus:
        pytest.skip("no GPU here: the driver shows none")
    import torch  # here: most tests need no torch

    if not torch.cuda.is_available():
        pytest.skip(f"torch {torch.__version__} cannot use the GPU here ({gpus[0].name})")


def skip_or_fail(program: str, environ: Mapping[str, str] = os.environ) -> NoReturn:
    """Skip the test for want of a program, or fail it where all tests must run."""
    if is_everything_required(environ):
        pytest.fail(f"no {program} here, and CI or {REQUIRE_ALL} is set", pytrace=False)
    pytest.skip(f"no {program} here")


def is_everything_required(environ: Mapping[str, str]) -> bool:
    """Return whether a missing program is a failure: by REQUIRE_ALL (0 or 1), else by CI."""
    return environ.get(REQUIRE_ALL, environ.get("CI", "")).lower() not in ("", "0", "false")


def find_chromium() -> str | None:
    """Find a Chromium on the path."""
    return next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)


def _is_installed(program: str) -> bool:
    """Whether a program is on the path; of the compilers, whether the engines find one."""
    return CHECKS[program]() if program in CHECKS else shutil.which(program) is not None


def _has_c_compiler() -> bool:
    from ticks.engines.native.compiler import find_compiler  # here: most tests need no torch

    return find_compiler() is not None


def _has_cpp_compiler() -> bool:
    from ticks.engines.selection import available_engines  # here: it imports torch

    return "graph" in available_engines()


def _has_pyarrow() -> bool:
    return importlib.util.find_spec("pyarrow") is not None


def _has_onnx() -> bool:
    return all(map(importlib.util.find_spec, ("onnx", "onnxscript", "onnxruntime")))


def _has_pandas() -> bool:
    return importlib.util.find_spec("pandas") is not None


CHECKS: dict[str, Callable[[], bool]] = {
    "chromium": lambda: find_chromium() is not None,
    C_COMPILER: _has_c_compiler,
    CPP_COMPILER: _has_cpp_compiler,
    PYARROW: _has_pyarrow,
    ONNX: _has_onnx,
    PANDAS: _has_pandas,
    TENSORBOARD: lambda: importlib.util.find_spec("tensorboard") is not None,
    TYPESCRIPT: node_packages.are_installed,
    WANDB: lambda: importlib.util.find_spec("wandb") is not None,
    SCIKIT_LEARN: lambda: importlib.util.find_spec("sklearn") is not None,
}
