"""The file of a dataset's predictions while it is written: JSON lines in UTF-8, within a bound."""

import errno
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from ticks.answers.work import JsonDict

DISK_CHECK_BYTES = 16 << 20  # written between two looks at the free disk
DISK_FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
MAX_ERROR_BYTES = (
    200  # of the text of a row's error, as JSON; jobs/answers/result_size.py counts it
)
#: line ends to some readers of text, and so written as JSON escapes them
LINE_ENDS = {mark: f"\\u{ord(mark):04x}" for mark in "\x85\u2028\u2029"}


class ResultTooLarge(Exception):
    """The predictions would take more bytes than they may."""


class DiskFull(Exception):
    """The disk has no room for the predictions."""


class ResultFile:
    """A new file of at most `max_bytes`, synced at the end of its block; after an error it is gone.

    It leaves `min_free_bytes` of the disk free. Raises FileExistsError, ResultTooLarge or DiskFull.
    """

    def __init__(self, path: Path, max_bytes: int, min_free_bytes: int) -> None:
        self._path, self._max_bytes, self._min_free_bytes = path, max_bytes, min_free_bytes
        self._bytes = self._checked_bytes = 0

    def __enter__(self) -> Self:
        self._file = self._path.open("xb")
        return self

    def write(self, lines: Iterable[JsonDict]) -> None:
        """Write lines, whole or not at all."""
        data = b"".join(map(encode_line, lines))
        if self._bytes + len(data) > self._max_bytes:
            raise ResultTooLarge(f"the predictions take more than {self._max_bytes:,} bytes")
        if self._bytes == 0 or self._bytes - self._checked_bytes >= DISK_CHECK_BYTES:
            self._check_disk(len(data))
        self._bytes += len(data)
        try:
            self._file.write(data)
        except OSError as error:
            raise _translate(error) from error

    def __exit__(
        self, kind: type[BaseException] | None, _error: object, _trace: TracebackType | None
    ) -> None:
        try:
            with self._file:
                if kind is None:
                    self._file.flush()
                    os.fsync(self._file.fileno())
        except OSError as error:
            self._path.unlink(missing_ok=True)
            if kind is None:
                raise _translate(error) from error
        if kind is not None:
            self._path.unlink(missing_ok=True)

    def _check_disk(self, needed: int) -> None:
        self._checked_bytes = self._bytes
        free = shutil.disk_usage(self._path.parent).free
        if free < self._min_free_bytes + needed:
            reserve = f"{self._min_free_bytes:,} are kept for what runs"
            raise DiskFull(f"{free:,} bytes of disk are free, and {reserve}")


def encode_line(line: JsonDict) -> bytes:
    """Return a line of a result as JSON in UTF-8."""
    return _to_json(line) + b"\n"


def cut_error(text: str) -> str:
    """Return the text of an error, or its beginning with an ellipsis: MAX_ERROR_BYTES as JSON."""
    if len(text) * 6 <= MAX_ERROR_BYTES or _size(text) <= MAX_ERROR_BYTES:
        return text
    size, end = _size("…"), 0
    for character in text:
        size += _size(character)
        if size > MAX_ERROR_BYTES:
            break
        end += 1
    return text[:end] + "…"


def _size(text: str) -> int:
    return len(_to_json(text)) - 2


def _to_json(value: object) -> bytes:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    for mark, escaped in LINE_ENDS.items():
        text = text.replace(mark, escaped)  # of a text without it no copy is made
    return text.encode()


def _translate(error: OSError) -> Exception:
    return DiskFull(f"the disk is full: {error}") if error.errno in DISK_FULL_ERRNOS else error
