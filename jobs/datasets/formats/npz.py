"""Read NPZ as numpy.savez writes it (arrays `inputs` and `targets`), without trust or pickle.

Nothing is extracted, and no name in the file becomes a path. Every size is checked against the
file's bytes before memory of that size is allocated. Arrays are read in pieces.
"""

import os
import struct
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, BinaryIO

import numpy as np
from numpy.typing import NDArray

from jobs.datasets.formats.data_errors import FITS_FLOAT32_RULE, DataErrors, data_error
from jobs.spec.base import FLOAT32_MAX

MEMBERS = {"inputs.npy": "inputs", "targets.npy": "targets"}
MAX_DIRECTORY_BYTES = 4096  # the list of members; for two arrays numpy writes about 250
MAX_HEADER_BYTES = 4096  # of an array
MAX_COMPRESSION_RATIO = 100  # unpacked size to packed size
MAX_FEATURES = 65_536
READ_SIZE = 1 << 18  # bytes
NUMERIC_KINDS = "iuf"
ZIP_RULE = "a zip file as numpy.savez writes it"


@dataclass(frozen=True)
class Member:
    """One array: its entry in the zip, shape and dtype."""

    info: zipfile.ZipInfo
    header: int  # bytes before the first value
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]

    @property
    def rows(self) -> int:
        """Number of rows: the first dimension."""
        return self.shape[0]

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return self.dtype.itemsize * int(np.prod(self.shape[1:], dtype=np.int64))


class Npz:
    """An open NPZ file, its members and shapes checked. Raises BadData."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        _check_directory(file)
        try:
            self._zip = zipfile.ZipFile(file)
            self.members = _read_members(self._zip)
        except (zipfile.BadZipFile, struct.error, EOFError, NotImplementedError) as error:
            raise data_error(f"{ZIP_RULE}: {error}") from None
        _check_shapes(self.members["inputs"], self.members["targets"])

    def read_pieces(self, name: str, after: int = 0) -> Iterator[tuple[int, NDArray[np.generic]]]:
        """Yield (first row, rows) from row `after` (from 0) on, in pieces. Raises BadData."""
        member = self.members[name]
        try:
            with self._zip.open(member.info) as stream:
                _skip(stream, member.header + after * member.row_bytes)
                yield from _read_pieces(stream, member, after)
        except (zipfile.BadZipFile, EOFError, OSError, ValueError) as error:
            raise data_error(
                f"an array whose bytes can be unpacked: {error}", column=name
            ) from None


def check_values(npz: Npz, errors: DataErrors) -> None:
    """Raise BadData with every value of both arrays that is not finite or exceeds float32."""
    for name in MEMBERS.values():
        for first, values in npz.read_pieces(name):
            flat = values.reshape(len(values), -1)
            is_invalid = ~(np.abs(flat.astype(np.float64)) <= FLOAT32_MAX)
            for row, column in np.argwhere(is_invalid):
                column_name = name if flat.shape[1] == 1 else f"{name}[{column}]"
                value = str(flat[row, column])
                errors.add(first + int(row) + 1, column_name, FITS_FLOAT32_RULE, value)
    errors.check()


def _check_directory(file: BinaryIO) -> None:
    """Limit the list of members before zipfile reads all of it into memory."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 22))
    end = file.read(22)
    if len(end) < 22 or end[:4] != b"PK\x05\x06" or end[20:] != b"\0\0":
        raise data_error(ZIP_RULE)
    (directory,) = struct.unpack("<L", end[12:16])
    if directory == 0xFFFFFFFF:
        directory = _zip64_directory_size(file, size)
    if directory > MAX_DIRECTORY_BYTES:
        raise data_error(f"{ZIP_RULE}, with two members")


def _zip64_directory_size(file: BinaryIO, size: int) -> int:
    file.seek(max(0, size - 42))
    locator = file.read(20)
    if locator[:4] != b"PK\x06\x07":
        raise data_error(ZIP_RULE)
    (record_offset,) = struct.unpack("<Q", locator[8:16])
    file.seek(min(record_offset, size))
    record = file.read(56)
    if len(record) < 56 or record[:4] != b"PK\x06\x06":
        raise data_error(ZIP_RULE)
    return int(struct.unpack("<Q", record[40:48])[0])


def _read_members(archive: zipfile.ZipFile) -> dict[str, Member]:
    names = [info.filename for info in archive.infolist()]
    if sorted(names) != sorted(MEMBERS):
        raise data_error("the arrays inputs and targets, and nothing else", names)
    return {MEMBERS[info.filename]: _read_member(archive, info) for info in archive.infolist()}


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Member:
    name = MEMBERS[info.filename]
    if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise data_error("stored or deflated, not encrypted", column=name)
    if info.file_size > MAX_COMPRESSION_RATIO * max(info.compress_size, 1):
        raise data_error(
            f"unpacked at most {MAX_COMPRESSION_RATIO} times as long", info.file_size, column=name
        )
    with archive.open(info) as stream:
        shape, dtype, header = _read_header(stream, name)
    member = Member(info, header, shape, dtype)
    if not shape or header + shape[0] * member.row_bytes != info.file_size:
        raise data_error("as many bytes as its shape says", info.file_size, column=name)
    return member


def _read_header(stream: IO[bytes], name: str) -> tuple[tuple[int, ...], np.dtype[np.generic], int]:
    npy_format = np.lib.format
    header_readers = {
        (1, 0): npy_format.read_array_header_1_0,
        (2, 0): npy_format.read_array_header_2_0,
    }
    try:
        version = npy_format.read_magic(stream)
        shape, is_fortran_order, dtype = header_readers[version](
            stream, max_header_size=MAX_HEADER_BYTES
        )
    except (ValueError, KeyError, OverflowError) as error:
        raise data_error(f"an array as numpy.save writes it: {error}", column=name) from None
    if dtype.kind not in NUMERIC_KINDS or dtype.itemsize > 8 or dtype.subdtype is not None:
        raise data_error(
            "an array of integers or floats of at most 64 bits", str(dtype), column=name
        )
    if is_fortran_order and len(shape) > 1:
        raise data_error("an array in C order (numpy.ascontiguousarray makes one)", column=name)
    return shape, dtype, stream.tell()


def _check_shapes(inputs: Member, targets: Member) -> None:
    shapes = [list(inputs.shape), list(targets.shape)]
    if len(inputs.shape) != 2 or len(targets.shape) not in (1, 2):
        rule = "inputs [rows, features] and targets [rows] or [rows, outputs]"
        raise data_error(rule, shapes)
    if inputs.rows != targets.rows or inputs.rows < 1:
        raise data_error("one target a row, and at least one row", shapes)
    for member, name in ((inputs, "inputs"), (targets, "targets")):
        if any(not 1 <= length <= MAX_FEATURES for length in member.shape[1:]):
            raise data_error(
                f"rows of 1 to {MAX_FEATURES:,} numbers", list(member.shape), column=name
            )


def _skip(stream: IO[bytes], count: int) -> None:
    while count > 0:
        num_read = len(stream.read(min(count, READ_SIZE)))
        if not num_read:
            raise EOFError("it ends early")
        count -= num_read


def _read_pieces(
    stream: IO[bytes], member: Member, row: int
) -> Iterator[tuple[int, NDArray[np.generic]]]:
    rows = max(1, READ_SIZE // member.row_bytes)
    while row < member.rows:
        num_rows = min(rows, member.rows - row)
        data = stream.read(num_rows * member.row_bytes)
        if len(data) < num_rows * member.row_bytes:
            raise EOFError("it ends early")
        yield row, np.frombuffer(data, member.dtype).reshape(num_rows, *member.shape[1:])
        row += num_rows
    if stream.read(1):  # reading to the end also makes zipfile verify the CRC
        raise EOFError("it is longer than its shape says")
