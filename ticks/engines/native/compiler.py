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

from ticks.engines.compiled import run

FLAGS = (
    "-std=gnu11", "-O3", "-march=native", "-ffp-contract=off", "-fno-math-errno",
    "-fno-trapping-math", "-fPIC", "-shared", "-w", "-Wno-psabi",
)  # fmt: skip
NAMES = ("gcc", "cc", "clang")
PATIENCE = 300  # seconds for one source on a busy machine


@dataclass(frozen=True)
class Compiler:
    """A C compiler: how it is called, and what it says it is."""

    command: tuple[str, ...]
    identity: str

    def compile(self, source: Path, target: Path, lanes: int, flags: tuple[str, ...]) -> None:
        """Compile one file to a shared object; raises Unavailable with what the compiler said."""
        command = [*self.command, *flags, f"-DLANES={lanes}", str(source), "-o", str(target), "-lm"]
        run(command, "C", PATIENCE)


def find() -> Compiler | None:
    """Find the compiler that CC names, else gcc, cc or clang on the path."""
    return _first(os.environ.get("CC", ""), os.environ.get("PATH", ""))


@cache
def _first(cc: str, path: str) -> Compiler | None:
    asked = [tuple(shlex.split(cc))] if cc.strip() else [(name,) for name in NAMES]
    for command in asked:
        found = shutil.which(command[0], path=path)
        identity = None if found is None else _identity((found, *command[1:]))
        if found is not None and identity is not None:
            return Compiler((found, *command[1:]), identity)
    return None


def _identity(command: tuple[str, ...]) -> str | None:
    """What the compiler says it is and compiles for; None if it cannot be run."""
    try:
        told = subprocess.run(
            [*command, "--version"], capture_output=True, text=True, timeout=60, check=True,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{command} {told.stdout.splitlines()[0] if told.stdout else ''} {processor()}"


@cache
def features() -> frozenset[str]:
    """Return the processor's features as Linux names them; empty where nobody does."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return frozenset()
    words = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return frozenset(words.partition(":")[2].split())


@cache
def processor() -> str:
    """Name what -march=native means here: code for one processor may not run on another."""
    words = " ".join([platform.machine(), platform.processor(), *sorted(features())])
    return hashlib.sha256(words.encode()).hexdigest()[:16]
