"""Find, identify and run the C compiler of this machine. Knows no net.

With `-ffp-contract=off` and without fast-math, the order of operations is the source's everywhere.
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

Flags = tuple[str, ...]
FLAGS = (
    "-std=gnu11", "-O3", "-march=native", "-ffp-contract=off", "-fno-math-errno",
    "-fno-trapping-math", "-fPIC", "-shared", "-w", "-Wno-psabi",
)  # fmt: skip
COMPILER_NAMES = ("gcc", "cc", "clang")
COMPILE_TIMEOUT_SECONDS = 300  # for one source, on a busy machine


@dataclass(frozen=True)
class Compiler:
    """A C compiler: its command, and an identity with its version and the processor's."""

    command: tuple[str, ...]
    identity: str

    def compile(self, source: Path, target: Path, lanes: int, flags: tuple[str, ...]) -> None:
        """Compile one file to a shared object for `lanes` jobs; raises EngineUnavailable."""
        command = [*self.command, *flags, f"-DLANES={lanes}", str(source), "-lm"]
        run_compiler(command, target, "C", COMPILE_TIMEOUT_SECONDS)


def find_compiler() -> Compiler | None:
    """Return the compiler that CC names, else gcc, cc or clang on the path; None without one."""
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
    """Return the command, its version and the processor's id; None if it cannot be run."""
    try:
        completed = subprocess.run(
            [*command, "--version"], capture_output=True, text=True, timeout=60, check=True,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    version = completed.stdout.splitlines()[0] if completed.stdout else ""
    return f"{command} {version} {processor_id()}"


@cache
def cpu_features() -> frozenset[str]:
    """Return the processor's features by Linux's names; empty on other systems."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return frozenset()
    words = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return frozenset(words.partition(":")[2].split())


@cache
def processor_id() -> str:
    """Return 16 hex digits for what -march=native means here, which other processors may lack."""
    words = " ".join([platform.machine(), platform.processor(), *sorted(cpu_features())])
    return hashlib.sha256(words.encode()).hexdigest()[:16]
