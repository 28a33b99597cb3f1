"""NPZ as numpy.savez writes it: the arrays `inputs` and `targets`, read without trust or pickle.

Nothing is extracted and no name in the file becomes a path. Every size is checked against the bytes
that are there before anything of that size is made. Reads the arrays a piece at a time.
"""

import os
import struct
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, BinaryIO

import numpy as np
from numpy.typing import NDArray

from jobs.datasets.formats.faults import Faults, refuse
from jobs.spec.base import FLOAT32_MAX

MEMBERS = {"inputs.npy": "inputs", "targets.npy": "targets"}
MOST_DIRECTORY = 4096  # bytes of the list of members; numpy's of two arrays takes some 250
MOST_HEADER = 4096  # bytes of an array's header
MOST_RATIO = 100  # unpacked to packed
MOST_FEATURES = 65_536
PIECE = 1 << 18  # bytes of an array at a time
KINDS = "iuf"
NOT_ZIP = "a zip file as numpy.savez writes it"


@dataclass(frozen=True)
class Member:
    """One array: where its values lie in the zip, and their form."""

    info: zipfile.ZipInfo
    header: int  # bytes before the first value
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]

    @property
    def rows(self) -> int:
        """The first of its lengths."""
        return self.shape[0]

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return self.dtype.itemsize * int(np.prod(self.shape[1:], dtype=np.int64))


class Npz:
    """An open NPZ file whose form has been checked; raises BadData if it is another's."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        _check_directory(file)
        try:
            self._zip = zipfile.ZipFile(file)
            self.members = _members(self._zip)
        except (zipfile.BadZipFile, struct.error, EOFError, NotImplementedError) as error:
            raise refuse(None, None, f"{NOT_ZIP}: {error}") from None
        _check_shapes(self.members["inputs"], self.members["targets"])

    def pieces(self, name: str, after: int = 0) -> Iterator[tuple[int, NDArray[np.generic]]]:
        """Read an array some rows at a time, from row `after` (from 0); raises BadData."""
        member = self.members[name]
        try:
            with self._zip.open(member.info) as opened:
                _skip(opened, member.header + after * member.row_bytes)
                yield from _pieces(opened, member, after)
        except (zipfile.BadZipFile, EOFError, OSError, ValueError) as error:
            raise refuse(None, name, f"an array whose bytes can be unpacked: {error}") from None


def check_values(npz: Npz, faults: Faults) -> None:
    """Look at every value of both arrays; raises BadData with those that no net could take."""
    for name in MEMBERS.values():
        for first, values in npz.pieces(name):
            flat = values.reshape(len(values), -1)
            wrong = ~(np.abs(flat.astype(np.float64)) <= FLOAT32_MAX)
            for row, column in np.argwhere(wrong):
                at = name if flat.shape[1] == 1 else f"{name}[{column}]"
                rule = "a finite number that fits float32"
                faults.add(first + int(row) + 1, at, rule, str(flat[row, column]))
    faults.check()


def _check_directory(file: BinaryIO) -> None:
    """Bound the list of members before zipfile reads it whole into memory."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 22))
    end = file.read(22)
    if len(end) < 22 or end[:4] != b"PK\x05\x06" or end[20:] != b"\0\0":
        raise refuse(None, None, NOT_ZIP)
    (directory,) = struct.unpack("<L", end[12:16])
    if directory == 0xFFFFFFFF:
        directory = _zip64_directory(file, size)
    if directory > MOST_DIRECTORY:
        raise refuse(None, None, f"{NOT_ZIP}, with two members")


def _zip64_directory(file: BinaryIO, size: int) -> int:
    file.seek(max(0, size - 42))
    locator = file.read(20)
    if locator[:4] != b"PK\x06\x07":
        raise refuse(None, None, NOT_ZIP)
    (at,) = struct.unpack("<Q", locator[8:16])
    file.seek(min(at, size))
    record = file.read(56)
    if len(record) < 56 or record[:4] != b"PK\x06\x06":
        raise refuse(None, None, NOT_ZIP)
    return int(struct.unpack("<Q", record[40:48])[0])


def _members(archive: zipfile.ZipFile) -> dict[str, Member]:
    names = [info.filename for info in archive.infolist()]
    if sorted(names) != sorted(MEMBERS):
        raise refuse(None, None, "the arrays inputs and targets, and nothing else", names)
    return {MEMBERS[info.filename]: _member(archive, info) for info in archive.infolist()}


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Member:
    name = MEMBERS[info.filename]
    if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise refuse(None, name, "stored or deflated, not encrypted")
    if info.file_size > MOST_RATIO * max(info.compress_size, 1):
        raise refuse(None, name, f"unpacked at most {MOST_RATIO} times as long", info.file_size)
    with archive.open(info) as opened:
        shape, dtype, header = _header(opened, name)
    member = Member(info, header, shape, dtype)
    if not shape or header + shape[0] * member.row_bytes != info.file_size:
        raise refuse(None, name, "as many bytes as its shape says", info.file_size)
    return member


def _header(opened: IO[bytes], name: str) -> tuple[tuple[int, ...], np.dtype[np.generic], int]:
    form = np.lib.format
    read = {(1, 0): form.read_array_header_1_0, (2, 0): form.read_array_header_2_0}
    try:
        version = form.read_magic(opened)
        shape, by_columns, dtype = read[version](opened, max_header_size=MOST_HEADER)
    except (ValueError, KeyError, OverflowError) as error:
        raise refuse(None, name, f"an array as numpy.save writes it: {error}") from None
    if dtype.kind not in KINDS or dtype.itemsize > 8 or dtype.subdtype is not None:
        raise refuse(None, name, "an array of integers or floats of at most 64 bits", str(dtype))
    if by_columns and len(shape) > 1:
        raise refuse(None, name, "an array in C order (numpy.ascontiguousarray makes one)")
    return shape, dtype, opened.tell()


def _check_shapes(inputs: Member, targets: Member) -> None:
    found = [list(inputs.shape), list(targets.shape)]
    if len(inputs.shape) != 2 or len(targets.shape) not in (1, 2):
        rule = "inputs [rows, features] and targets [rows] or [rows, outputs]"
        raise refuse(None, None, rule, found)
    if inputs.rows != targets.rows or inputs.rows < 1:
        raise refuse(None, None, "one target a row, and at least one row", found)
    for member, name in ((inputs, "inputs"), (targets, "targets")):
        if any(not 1 <= length <= MOST_FEATURES for length in member.shape[1:]):
            raise refuse(None, name, f"rows of 1 to {MOST_FEATURES:,} numbers", list(member.shape))


def _skip(opened: IO[bytes], count: int) -> None:
    while count > 0:
        read = len(opened.read(min(count, PIECE)))
        if not read:
            raise EOFError("it ends early")
        count -= read


def _pieces(
    opened: IO[bytes], member: Member, row: int
) -> Iterator[tuple[int, NDArray[np.generic]]]:
    rows = max(1, PIECE // member.row_bytes)
    while row < member.rows:
        wanted = min(rows, member.rows - row)
        data = opened.read(wanted * member.row_bytes)
        if len(data) < wanted * member.row_bytes:
            raise EOFError("it ends early")
        yield row, np.frombuffer(data, member.dtype).reshape(wanted, *member.shape[1:])
        row += wanted
    if opened.read(1):  # also has zipfile check the sum of the whole
        raise EOFError("it is longer than its shape says")
