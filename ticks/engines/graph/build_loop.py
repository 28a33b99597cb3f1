"""Find or compile the graph engine's loop: one object per machine and version of torch.

A lock lets one process compile while others wait and then find its object. Knows no spec.
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

from ticks.engines import object_cache
from ticks.engines.object_cache import EngineUnavailable, key_of, lookup, run_compiler, store

SOURCE = Path(__file__).parent / "loop.cpp"
HEADERS = tuple(map(SOURCE.with_name, ("program.h", "chain.h", "elementwise.h")))
TORCH = Path(torch.__file__).parent
#: the last three: vectorized loops whose values are rounded as they are written
FLAGS = (
    "-std=c++20", "-O1", "-w", "-shared", "-fPIC", f"-I{TORCH}/include", f"-L{TORCH}/lib",
    "-ftree-loop-vectorize", "-fexpensive-optimizations", "-fno-trapping-math", "-ffp-contract=off",
)  # fmt: skip
LIBRARIES = ("-ltorch_cpu", "-lc10")
COMPILER_NAMES = ("g++", "c++", "clang++")
COMPILE_TIMEOUT_SECONDS = 600  # for a busy machine; an idle one needs 6


def default_folder() -> Path:
    """Return the user's cache folder for the loop; without a home, a temporary folder."""
    cache_home = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    if not cache_home.is_absolute():
        cache_home = Path(tempfile.gettempdir()) / f"cache-{os.getuid()}"
    return cache_home / "tickforge" / "graph"


def find_compiler() -> str | None:
    """Return the path of a C++ compiler, or None."""
    return next((path for name in COMPILER_NAMES if (path := shutil.which(name))), None)


def is_ready() -> bool:
    """Return whether the loop is compiled already."""
    return any(default_folder().glob(f"{object_key()}-*.so"))


def is_possible() -> bool:
    """Return whether the loop is compiled already or could be compiled here."""
    return is_ready() or (find_compiler() is not None and (TORCH / "include" / "ATen").is_dir())


def find_or_compile() -> Path:
    """Return the path of the loop's object, compiling it if needed; raises EngineUnavailable."""
    cache_path = default_folder()
    with object_cache.cache_folder(cache_path):
        if object_file := lookup(cache_path, object_key()):
            return object_file
        with _exclusive_lock(cache_path):
            return lookup(cache_path, object_key()) or compile_loop(cache_path)


@cache
def object_key() -> str:
    """Return the key of the loop's object."""
    sources = [path.read_text() for path in (SOURCE, *HEADERS)]
    return key_of(*sources, torch.__version__, str(TORCH), *FLAGS)


@contextlib.contextmanager
def _exclusive_lock(cache_path: Path) -> Iterator[None]:
    """Hold the folder's lock inside the context; remove what killed compilations left."""
    with (cache_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # released when the file is closed or the process ends
        for leftover in cache_path.glob("making-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        yield


def compile_loop(cache_path: Path) -> Path:
    """Compile the loop into a folder and return its object; raises EngineUnavailable."""
    compiler_path = find_compiler()
    if compiler_path is None:
        raise EngineUnavailable("no C++ compiler on this machine")
    command = [compiler_path, *FLAGS, str(SOURCE), *LIBRARIES]

    def compile_into(target: Path) -> None:
        run_compiler(command, target, "C++", COMPILE_TIMEOUT_SECONDS)

    return store(cache_path, object_key(), compile_into)
