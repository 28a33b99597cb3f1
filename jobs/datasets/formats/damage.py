"""The one guard around readers of outside formats: what they raise for damaged bytes is BadData.

The rule, for a file that comes in: sizes are checked before memory is allocated for them. What a
parser of others then raises (zipfile, zlib, numpy, json, csv, struct, pyarrow) is a fault of the
bytes: an error of its own kind, whatever it raises from its own code, and errors of texts that are
no UTF-8, of numbers out of range, of nesting and of memory. An error that our own code raises is
ours, and one of the operating system (no room, no access, a broken disk) is the machine's: both
pass. A file that is stored was read before; where that fails now, its digest tells whose fault it
is.
"""

import csv
import errno
import hashlib
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from typing import BinaryIO, Literal, Protocol, TypeGuard, cast

from jobs.datasets.formats.data_errors import data_error

PARSER_ERRORS = (
    EOFError, UnicodeError, OverflowError, RecursionError, MemoryError,
    struct.error, zlib.error, zipfile.BadZipFile, csv.Error,
)  # fmt: skip
OUR_ROOMS = ("jobs", "models")
MAX_REASON_CHARACTERS = 200


class DamagedDataset(Exception):
    """A dataset's file is missing or differs from what was uploaded."""


class StoredPath(Protocol):
    """Where stored bytes lie: a path, or something else that is opened as one."""

    @property
    def name(self) -> str:
        """What to call it in an error."""

    def open(self, mode: Literal["rb"], /) -> BinaryIO:
        """Open it for reading."""


def is_stream(file: StoredPath | BinaryIO) -> TypeGuard[BinaryIO]:
    """Return whether it is open already."""
    return hasattr(file, "seek")


@contextmanager
def refuse_damage(rule: str, *, column: str | None = None) -> Iterator[None]:
    """Turn what a parser raises for damaged bytes into BadData: the rule, and its reason.

    In a generator it holds while items are made, not while they are used.
    """
    try:
        yield
    except Exception as error:
        if not _is_of_the_bytes(error):
            raise
        raise data_error(f"{rule}: {_reason(error)}", column=column) from error


@contextmanager
def report_damage(file: StoredPath | BinaryIO, sha256: str) -> Iterator[None]:
    """Turn any error while a stored file is read into DamagedDataset if its digest is another.

    Errors of the operating system and of memory pass, and so do ours: those of an intact file.
    """
    try:
        yield
    except (DamagedDataset, MemoryError):
        raise
    except Exception as error:
        if _is_of_the_machine(error) or _digest(file) == sha256:
            raise
        raise DamagedDataset(f"the file of sha256 {sha256} has other bytes now") from error


def _is_of_the_bytes(error: Exception) -> bool:
    if isinstance(error, OSError):
        return not _is_of_the_machine(error)
    return isinstance(error, PARSER_ERRORS) or not _is_raised_by_us(error)


def _is_of_the_machine(error: Exception) -> bool:
    """Tell by the number; parsers raise OSError without one, and for a place before the file."""
    return isinstance(error, OSError) and error.errno not in (None, errno.EINVAL)


def _is_raised_by_us(error: Exception) -> bool:
    """Return whether the innermost frame is in our code (a function in C has no frame)."""
    traceback = error.__traceback__
    assert traceback is not None, "it was raised"
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    module: str = traceback.tb_frame.f_globals.get("__name__", "")
    return module.partition(".")[0] in OUR_ROOMS


def _reason(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "it would take more memory than there is"
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= MAX_REASON_CHARACTERS else text[:MAX_REASON_CHARACTERS] + "…"


def _digest(file: StoredPath | BinaryIO) -> str:
    if not is_stream(file):
        with cast(StoredPath, file).open("rb") as opened:
            return _digest(opened)
    file.seek(0)
    return hashlib.file_digest(cast(BufferedReader, file), "sha256").hexdigest()
