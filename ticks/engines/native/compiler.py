"""The C compiler of this machine: found, named, and run. Knows no net.

`-ffp-contract=off` and no fast-math: a sum of products is what the source says on every machine.
"""

import hashlib
import os
import platform
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ticks.engines.object_cache import run_compiler

FLAGS = (
    "-std=gnu11", "-O3", "-march=native", "-ffp-contract=off", "-fno-math-errno",
    "-fno-trapping-math", "-fPIC", "-shared", "-w", "-Wno-psabi",
)  # fmt: skip
COMPILER_NAMES = ("gcc", "cc", "clang")
COMPILE_TIMEOUT_SECONDS = 300  # seconds for one source on a busy machine


@dataclass(frozen=True)
class Compiler:
    """A C compiler: how it is called, and what it says it is."""

    command: tuple[str, ...]
    identity: str

    def compile(self, source: Path, target: Path, lanes: int, flags: tuple[str, ...]) -> None:
        """Compile one file to a shared object; raises EngineUnavailable with what the compiler said."""
        command = [*self.command, *flags, f"-DLANES={lanes}", str(source), "-o", str(target), "-lm"]
        run_compiler(command, "C", COMPILE_TIMEOUT_SECONDS)


def find_compiler() -> Compiler | None:
    """Find the compiler that CC names, else gcc, cc or clang on the path."""
    return _first_working(os.environ.get("CC", ""), os.environ.get("PATH", ""))


@cache
def _first_working(cc: str, path: str) -> Compiler | None:
    candidates = [tuple(shlex.split(cc))] if cc.strip() else [(name,) for name in COMPILER_NAMES]
    for command in candidates:
        executable = shutil.which(command[0], path=path)
        identity = None if executable is None else _identity((executable, *command[1:]))
        if executable is not None and identity is not None:
            return Compiler((executable, *command[1:]), identity)
    return None


def _identity(command: tuple[str, ...]) -> str | None:
    """What the compiler says it is and compiles for; None if it cannot be run."""
    try:
        completed = subprocess.run(
            [*command, "--version"], capture_output=True, text=True, timeout=60, check=True,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return (
        f"{command} {completed.stdout.splitlines()[0] if completed.stdout else ''} {processor_id()}"
    )


@cache
def cpu_features() -> frozenset[str]:
    """Return the processor's features as Linux names them; empty where nobody does."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return frozenset()
    words = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return frozenset(words.partition(":")[2].split())


@cache
def processor_id() -> str:
    """Name what -march=native means here: code for one processor may not run on another."""
    words = " ".join([platform.machine(), platform.processor(), *sorted(cpu_features())])
    return hashlib.sha256(words.encode()).hexdigest()[:16]
