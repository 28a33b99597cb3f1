"""Compiled objects, kept in a folder by a key made from all that decides them. Knows no torch.

A file is `KEY-DIGEST.so`: the key of source, lanes, compiler, flags and processor, and the digest
of its own bytes, checked before it is loaded. Written whole and renamed, so that processes may
share the folder; whoever comes second finds the first one's.
"""

import contextlib
import ctypes
import hashlib
import os
import tempfile
from pathlib import Path

from ticks.engines.native import compiler
from ticks.engines.native.compiler import FLAGS, Unavailable
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
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        if home.stat().st_uid != os.getuid():
            raise Unavailable(f"the folder of compiled objects, {home}, is another user's")
        return _kept(home, key) or _made(home, key, source, lanes, found, flags)
    except OSError as error:
        raise Unavailable(f"the folder of compiled objects cannot be used: {error}") from None


def key_of(source: str, lanes: int, identity: str, flags: tuple[str, ...]) -> str:
    """Return the key: 32 hex digits of a sha256 over all that decides an object's code."""
    text = "\0".join([source, str(lanes), identity, *flags])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _kept(home: Path, key: str) -> ctypes.CDLL | None:
    for file in home.glob(f"{key}-*.so"):
        with contextlib.suppress(FileNotFoundError):  # another process has just evicted it
            if _digest(file) == file.stem.rpartition("-")[2]:
                os.utime(file)
                return ctypes.CDLL(str(file))
            file.unlink()
    return None


def _made(
    home: Path,
    key: str,
    source: str,
    lanes: int,
    found: compiler.Compiler,
    flags: tuple[str, ...],
) -> ctypes.CDLL:
    with tempfile.TemporaryDirectory(prefix="making-", dir=home) as place:
        text, made = Path(place) / "ticks.c", Path(place) / "ticks.so"
        text.write_text(source, encoding="utf-8")
        found.compile(text, made, lanes, flags)
        with made.open("rb") as opened:
            os.fsync(opened.fileno())
        target = home / f"{key}-{_digest(made)}.so"
        made.replace(target)
        loaded = ctypes.CDLL(str(target))
    _evict(home)
    return loaded


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]


def _evict(home: Path) -> None:
    """Remove the longest unused objects beyond the limit; a loaded one stays in memory."""
    ages: list[tuple[float, Path]] = []
    for file in home.glob("*.so"):
        with contextlib.suppress(FileNotFoundError):
            ages.append((file.stat().st_mtime, file))
    for _, file in sorted(ages)[:-MOST_OBJECTS]:
        file.unlink(missing_ok=True)
