"""Finds or compiles the loop: one object a machine and version of torch, whatever the spec.

A lock lets one process compile, and the others find what it made.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import torch

from ticks.engines.compiled import Unavailable, kept, key_of, place, run, usable

SOURCE = Path(__file__).parent / "loop.cpp"
HEADER = SOURCE.with_name("program.h")
TORCH = Path(torch.__file__).parent
FLAGS = (
    "-std=c++20", "-O1", "-w", "-shared", "-fPIC", f"-I{TORCH}/include", f"-L{TORCH}/lib",
)  # fmt: skip
LIBRARIES = ("-ltorch_cpu", "-lc10")
NAMES = ("g++", "c++", "clang++")
PATIENCE = 600  # seconds on a busy machine; an idle one needs 6


def folder() -> Path:
    """Return the user's cache folder for the loop; without a home, one among temporary files."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    if not home.is_absolute():
        home = Path(tempfile.gettempdir()) / f"cache-{os.getuid()}"
    return home / "tickforge" / "graph"


def compiler() -> str | None:
    """Find a C++ compiler on the path."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


def is_ready() -> bool:
    """Whether the loop need not be compiled."""
    return any(folder().glob(f"{key()}-*.so"))


def is_possible() -> bool:
    """Whether the loop is there or could be compiled."""
    return is_ready() or (compiler() is not None and (TORCH / "include" / "ATen").is_dir())


def find() -> Path:
    """Return the object's file, compiled first if it must be; raises Unavailable."""
    home = folder()
    with usable(home):
        if found := kept(home, key()):
            return found
        with _alone(home):
            return kept(home, key()) or make(home)


@cache
def key() -> str:
    """Return the key of the loop's object."""
    return key_of(SOURCE.read_text(), HEADER.read_text(), torch.__version__, str(TORCH), *FLAGS)


@contextlib.contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Inside, no other process compiles into the folder; what killed ones left is gone."""
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # let go of when closed, or when the process ends
        for left in home.glob("making-*"):
            shutil.rmtree(left, ignore_errors=True)
        yield


def make(home: Path) -> Path:
    """Compile the loop into a folder; raises Unavailable."""
    found = compiler()
    if found is None:
        raise Unavailable("no C++ compiler on this machine")
    command = [found, *FLAGS, str(SOURCE), *LIBRARIES]
    return place(home, key(), lambda made: run([*command, "-o", str(made)], "C++", PATIENCE))
