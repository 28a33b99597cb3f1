"""Load the compiled object of a kernel signature, from the cache or compiled. Knows no torch."""

import contextlib
import ctypes
import os
from pathlib import Path

from ticks.engines import object_cache
from ticks.engines.native import compiler
from ticks.engines.native.codegen import emit
from ticks.engines.native.compiler import FLAGS, Flags
from ticks.engines.native.signature import KernelSignature
from ticks.engines.object_cache import EngineUnavailable

MAX_OBJECTS = 512  # of about 50 kB each; the least recently used are removed first


def default_folder() -> Path:
    """Return the user's cache folder for objects; raises EngineUnavailable without a home."""
    try:
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError as error:  # a user without a home
        raise EngineUnavailable(f"no folder for compiled objects: {error}") from None
    return Path(home) / "tickforge" / "native"


def load_kernel(
    signature: KernelSignature, lanes: int, folder: Path | None = None, flags: Flags = FLAGS
) -> ctypes.CDLL:
    """Load the object of a signature for `lanes` jobs, compiling it if needed.

    Raises EngineUnavailable.
    """
    cc = compiler.find_compiler()
    if cc is None:
        raise EngineUnavailable("no C compiler on this machine")
    source = emit(signature)
    key = key_of(source, lanes, cc.identity, flags)
    path = folder or default_folder()
    with object_cache.cache_folder(path):
        return _load_cached(path, key) or _compile_and_load(path, key, source, lanes, cc, flags)


def key_of(source: str, lanes: int, identity: str, flags: Flags) -> str:
    """Return an object's key: its source, lanes, compiler and flags, hashed."""
    return object_cache.key_of(source, str(lanes), identity, *flags)


def _load_cached(path: Path, key: str) -> ctypes.CDLL | None:
    with contextlib.suppress(FileNotFoundError):  # another process has just evicted it
        if file := object_cache.lookup(path, key):
            os.utime(file)
            return ctypes.CDLL(str(file))
    return None


def _compile_and_load(
    path: Path, key: str, source: str, lanes: int, cc: compiler.Compiler, flags: Flags
) -> ctypes.CDLL:
    def compile_into(target: Path) -> None:
        source_file = target.with_suffix(".c")
        source_file.write_text(source, encoding="utf-8")
        cc.compile(source_file, target, lanes, flags)

    library = ctypes.CDLL(str(object_cache.store(path, key, compile_into)))
    object_cache.evict(path, "*.so", MAX_OBJECTS)  # a loaded one stays in memory
    return library
