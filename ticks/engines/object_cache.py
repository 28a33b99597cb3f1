"""A folder of compiled objects, by a key that covers all their code depends on.

A file is `KEY-DIGEST.so`: the key, and the digest of the file's bytes, which is checked before it
is loaded. Files are written whole and renamed, so processes can share the folder.
"""

import contextlib
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

DRAFT_PREFIX = "making-"
#: far longer than a compiler may run: older folders of drafts are of killed processes
MAX_DRAFT_SECONDS = 3600.0


class EngineUnavailable(Exception):
    """This machine cannot build the engine; the message says why."""


@contextlib.contextmanager
def cache_folder(path: Path) -> Iterator[None]:
    """Create the folder; inside the context, OSErrors are raised as EngineUnavailable.

    Raises EngineUnavailable also for a folder of another user.
    """
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        if path.stat().st_uid != os.getuid():
            raise EngineUnavailable(f"the folder of compiled objects, {path}, is another user's")
        yield
    except OSError as error:
        raise EngineUnavailable(f"the folder of compiled objects cannot be used: {error}") from None


def key_of(*parts: str) -> str:
    """Return the key of an object: 32 hex digits of a sha256 over all its code depends on."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def lookup(cache_path: Path, key: str) -> Path | None:
    """Return the object's file, or None; damaged files of the key are removed."""
    for file in cache_path.glob(f"{key}-*.so"):
        with contextlib.suppress(FileNotFoundError):  # another process has just removed it
            if _digest(file) == file.stem.rpartition("-")[2]:
                return file
            file.unlink()
    return None


def store(cache_path: Path, key: str, compile_into: Callable[[Path], None]) -> Path:
    """Compile an object into a temporary file, fsync it, and rename it; return the final path."""
    _remove_abandoned(cache_path)
    with tempfile.TemporaryDirectory(prefix=DRAFT_PREFIX, dir=cache_path) as folder:
        compiled_file = Path(folder) / "made.so"
        compile_into(compiled_file)
        with compiled_file.open("rb") as stream:
            os.fsync(stream.fileno())
        return compiled_file.replace(cache_path / f"{key}-{_digest(compiled_file)}.so")


def evict(cache_path: Path, pattern: str, max_files: int) -> None:
    """Remove the least recently used files of a pattern beyond a number of them."""
    files, ages = list(cache_path.glob(pattern)), list[tuple[float, Path]]()
    if len(files) <= max_files:
        return
    for file in files:
        with contextlib.suppress(FileNotFoundError):  # another process has just removed it
            ages.append((file.stat().st_mtime, file))
    for _, file in sorted(ages)[:-max_files]:
        file.unlink(missing_ok=True)


def run_compiler(command: Sequence[str], target: Path, language: str, timeout: float) -> None:
    """Run a compiler for at most `timeout` seconds; raises EngineUnavailable with its errors.

    Its own temporary files lie beside the target, so that they go with the target's folder.
    """
    try:
        completed = subprocess.run(
            [*command, "-o", str(target)], capture_output=True, text=True, timeout=timeout,
            stdin=subprocess.DEVNULL, env={**os.environ, "TMPDIR": str(target.parent)},
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineUnavailable(f"the {language} compiler could not be run: {error}") from None
    if completed.returncode:
        raise EngineUnavailable(f"the {language} compiler failed: {completed.stderr.strip()[:500]}")


def _remove_abandoned(cache_path: Path) -> None:
    """Remove what processes that were killed while they compiled have left."""
    for folder in cache_path.glob(f"{DRAFT_PREFIX}*"):
        with contextlib.suppress(OSError):  # already gone
            if folder.stat().st_mtime < time.time() - MAX_DRAFT_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]
