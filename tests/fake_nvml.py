"""A machine with GPUs as far as the driver's management library shows them; none computes.

The library is built from fake_nvml.c. A process that is started with the folder in LD_LIBRARY_PATH
loads it as libnvidia-ml.so.1, in the place of the driver's.
"""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.support import ROOT

GIB = 1 << 30
DRIVER = "580.65.06"


class FakeMig(NamedTuple):
    """A MIG device."""

    uuid: str
    name: str
    memory: int = 10 * GIB


class FakeGpu(NamedTuple):
    """A GPU; one without memory does not answer, one with MIG devices is in MIG mode."""

    uuid: str
    name: str
    memory: int = 80 * GIB
    migs: tuple[FakeMig, ...] = ()


def build_library(folder: Path, gpus: Sequence[FakeGpu]) -> Path:
    """Build the library with these GPUs into a folder, and return its path."""
    from ticks.engines.native.compiler import find_compiler  # here: it imports torch

    compiler = find_compiler()
    assert compiler is not None, "the test is marked with needs(C_COMPILER)"
    library = folder / "libnvidia-ml.so.1"
    command = [*compiler.command, "-shared", "-fPIC", "-o", str(library)]
    table = ", ".join(map(_initializer, gpus))
    subprocess.run(
        [*command, f"-DDEVICES={table}", str(ROOT / "tests" / "fake_nvml.c")], check=True
    )
    return library


def _initializer(gpu: FakeGpu) -> str:
    migs = ", ".join(f'{{"{mig.uuid}", "{mig.name}", {mig.memory}ull}}' for mig in gpu.migs)
    return f'{{"{gpu.uuid}", "{gpu.name}", {gpu.memory}ull, {len(gpu.migs)}, {{{migs}}}}}'
