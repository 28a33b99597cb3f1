"""The objects of native's forms: found by their key, compiled, kept, loaded. Knows no torch."""

import contextlib
import ctypes
import os
from pathlib import Path

from ticks.engines import compiled
from ticks.engines.compiled import Unavailable
from ticks.engines.native import compiler
from ticks.engines.native.compiler import FLAGS
from ticks.engines.native.emit import emit
from ticks.engines.native.form import Form

MOST_OBJECTS = 512  # of about 50 kB; the longest unused go first


def default_folder() -> Path:
    """Return the user's cache folder for objects; raises Unavailable where there is none."""
    try:
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError as error:  # a user without a home
        raise Unavailable(f"no folder for compiled objects: {error}") from None
    return Path(home) / "tickforge" / "native"


def load(
    form: Form, lanes: int, folder: Path | None = None, flags: tuple[str, ...] = FLAGS
) -> ctypes.CDLL:
    """Load the object of a form, compiling it if it is not there; raises Unavailable."""
    found = compiler.find()
    if found is None:
        raise Unavailable("no C compiler on this machine")
    source = emit(form)
    key = key_of(source, lanes, found.identity, flags)
    home = folder or default_folder()
    with compiled.usable(home):
        return _kept(home, key) or _made(home, key, source, lanes, found, flags)


def key_of(source: str, lanes: int, identity: str, flags: tuple[str, ...]) -> str:
    """Return the key of an object."""
    return compiled.key_of(source, str(lanes), identity, *flags)


def _kept(home: Path, key: str) -> ctypes.CDLL | None:
    with contextlib.suppress(FileNotFoundError):  # another process has just evicted it
        if file := compiled.kept(home, key):
            os.utime(file)
            return ctypes.CDLL(str(file))
    return None


def _made(
    home: Path,
    key: str,
    source: str,
    lanes: int,
    found: compiler.Compiler,
    flags: tuple[str, ...],
) -> ctypes.CDLL:
    def compile_into(made: Path) -> None:
        text = made.with_suffix(".c")
        text.write_text(source, encoding="utf-8")
        found.compile(text, made, lanes, flags)

    loaded = ctypes.CDLL(str(compiled.place(home, key, compile_into)))
    _evict(home)
    return loaded


def _evict(home: Path) -> None:
    """Remove the longest unused objects beyond the limit; a loaded one stays in memory."""
    ages: list[tuple[float, Path]] = []
    for file in home.glob("*.so"):
        with contextlib.suppress(FileNotFoundError):
            ages.append((file.stat().st_mtime, file))
    for _, file in sorted(ages)[:-MOST_OBJECTS]:
        file.unlink(missing_ok=True)
