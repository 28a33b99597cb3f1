"""Change one bit of a stored file for a while."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

#: a file's times tell its versions apart; two changes of a test may fall into one tick of the clock
_changes = count(1)


@contextmanager
def flipped_bit(path: Path, at: int | None = None) -> Iterator[None]:
    """Turn the lowest bit of the byte at `at` (default: in the middle) of a file, and back."""
    size = path.stat().st_size
    _flip(path, size // 2 if at is None else at)
    try:
        yield
    finally:
        _flip(path, size // 2 if at is None else at)


def _flip(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ 1]))
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000 * next(_changes)))
