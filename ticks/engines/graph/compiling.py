"""Finds or compiles the loop: one object a machine and version of torch, whatever the spec.

A file is `KEY-DIGEST.so`: the key of source, flags, compiler and torch, and the digest of its own
bytes, checked before it is loaded. Written whole and renamed, so that processes may share the
folder; a lock lets one compile, and the others find what it made.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import torch

SOURCE = Path(__file__).parent / "loop.cpp"
HEADER = SOURCE.with_name("program.h")
TORCH = Path(torch.__file__).parent
FLAGS = (
    "-std=c++20", "-O1", "-w", "-shared", "-fPIC", f"-I{TORCH}/include", f"-L{TORCH}/lib",
)  # fmt: skip
LIBRARIES = ("-ltorch_cpu", "-lc10")
NAMES = ("g++", "c++", "clang++")
PATIENCE = 600  # seconds on a busy machine; an idle one needs 6


class Unavailable(Exception):
    """Why there is no graph engine on this machine."""


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
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        if home.stat().st_uid != os.getuid():
            raise Unavailable(f"the folder of compiled objects, {home}, is another user's")
        if kept := _kept(home):
            return kept
        with _alone(home):
            return _kept(home) or make(home)
    except OSError as error:
        raise Unavailable(f"the folder of compiled objects cannot be used: {error}") from None


@cache
def key() -> str:
    """Return 32 hex digits of a sha256 over all that decides the object."""
    text = "\0".join(
        [SOURCE.read_text(), HEADER.read_text(), torch.__version__, str(TORCH), *FLAGS]
    )
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _kept(home: Path) -> Path | None:
    for file in home.glob(f"{key()}-*.so"):
        with contextlib.suppress(FileNotFoundError):
            if _digest(file) == file.stem.rpartition("-")[2]:
                return file
            file.unlink()
    return None


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
    with tempfile.TemporaryDirectory(prefix="making-", dir=home) as place:
        made = Path(place) / "loop.so"
        command = [found, *FLAGS, str(SOURCE), "-o", str(made), *LIBRARIES]
        _compile(command)
        with made.open("rb") as opened:
            os.fsync(opened.fileno())
        target = home / f"{key()}-{_digest(made)}.so"
        return made.replace(target)


def _compile(command: list[str]) -> None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"the C++ compiler could not be run: {error}") from None
    if done.returncode:
        raise Unavailable(f"the C++ compiler failed: {done.stderr.strip()[:500]}")


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]
