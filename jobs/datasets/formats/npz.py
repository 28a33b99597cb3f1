"""Read NPZ as numpy.savez writes it: an array of inputs and one of targets, without pickle.

Nothing is extracted, and no name in the file becomes a path. Every size is checked against the
file's bytes before memory of that size is allocated. Arrays are read in pieces of rows.
"""

import contextlib
import struct
import zipfile
from collections.abc import Iterator
from typing import IO, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from jobs.datasets.formats.damage import refuse_damage
from jobs.datasets.formats.data_errors import FITS_FLOAT32_RULE, DataErrors, data_error
from jobs.datasets.formats.fortran_rows import FortranRows, unpacked_file
from jobs.datasets.formats.npz_directory import ZIP_RULE, check_directory
from jobs.datasets.formats.npz_members import Member, find_members, ignored_names
from jobs.spec.base import FLOAT32_MAX
from jobs.spec.profiles import ParseOptions

ROLES = ("inputs", "targets")
READ_SIZE = 1 << 18  # bytes
MAX_PIECE_VALUES = 1 << 18  # whatever their size: what is computed of a piece is float64
UNPACK_RULE = "an array whose bytes can be unpacked"


class Npz:
    """An open NPZ file; its `members` by role (inputs, targets), their shapes checked.

    `max_bytes` bounds what both arrays together take unpacked. Use it in a `with` block, which
    removes temporary files. Raises BadData.
    """

    def __init__(
        self, file: BinaryIO, options: ParseOptions, *, max_bytes: int | None = None
    ) -> None:
        self._file = file
        self._fortran: dict[str, FortranRows] = {}
        self._unpacked_files = contextlib.ExitStack()
        check_directory(file)
        with refuse_damage(ZIP_RULE):
            self._zip = zipfile.ZipFile(file)
            self.members = find_members(self._zip, options)
        self.ignored = ignored_names(self._zip, self.members)
        size = sum(member.info.file_size for member in self.members.values())
        if max_bytes is not None and size > max_bytes:
            raise data_error(f"arrays of at most {max_bytes:,} bytes unpacked", size)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._unpacked_files.close()

    def read_pieces(self, role: str, after: int = 0) -> Iterator[tuple[int, NDArray[np.generic]]]:
        """Yield (first row, rows) from row `after` (from 0) on, in pieces. Raises BadData.

        Targets of one column come as [rows]. Compressed arrays in Fortran order are unpacked to a
        temporary file first: OSError if there is no room for it.
        """
        member = self.members[role]
        read_rows = self._fortran_rows if member.is_fortran else self._stream_rows
        is_column = role == "targets" and member.shape[1:] == (1,)
        with refuse_damage(UNPACK_RULE, column=member.name):
            for first, rows in _cut_pieces(read_rows(member, after)):
                values = rows != 0 if member.dtype.kind == "b" else rows
                yield first, values[:, 0] if is_column else values

    def check_sums(self) -> None:
        """Read what `read_pieces` would read without its check sum. Raises BadData."""
        for member in self.members.values():
            if member.is_fortran and not member.is_compressed:
                with refuse_damage(UNPACK_RULE, column=member.name):
                    for _ in self._read_bytes(member):
                        pass

    def _stream_rows(self, member: Member, row: int) -> Iterator[tuple[int, NDArray[np.generic]]]:
        num_rows = max(1, READ_SIZE // member.row_bytes)
        with self._zip.open(member.info) as stream:
            _skip(stream, member.header + row * member.row_bytes)
            while row < member.rows:
                size = min(num_rows, member.rows - row) * member.row_bytes
                data = _read(stream, size)
                yield row, np.frombuffer(data, member.storage).reshape(-1, *member.shape[1:])
                row += num_rows
            _check_end(stream)

    def _fortran_rows(self, member: Member, row: int) -> Iterator[tuple[int, NDArray[np.generic]]]:
        rows = self._fortran.get(member.name)
        if rows is None:
            rows = self._fortran[member.name] = self._open_fortran(member)
        return rows.read_pieces(row)

    def _open_fortran(self, member: Member) -> FortranRows:
        if member.is_compressed:
            unpacked = unpacked_file(self._read_bytes(member), member.info.file_size)
            file = self._unpacked_files.enter_context(unpacked)
            return FortranRows(file, member.header, member.shape, member.storage)
        self._file.seek(member.info.header_offset)
        name_length, extra_length = struct.unpack("<HH", self._file.read(30)[26:])
        offset = member.info.header_offset + 30 + name_length + extra_length + member.header
        return FortranRows(self._file, offset, member.shape, member.storage)

    def _read_bytes(self, member: Member) -> Iterator[bytes]:
        """Yield all bytes of a member; their sum is checked."""
        with self._zip.open(member.info) as stream:
            for start in range(0, member.info.file_size, READ_SIZE):
                yield _read(stream, min(READ_SIZE, member.info.file_size - start))
            _check_end(stream)


def check_values(npz: Npz, errors: DataErrors) -> None:
    """Raise BadData with every value of both arrays that is not finite or exceeds float32."""
    for role in ROLES:
        for first, values in npz.read_pieces(role):
            flat = values.reshape(len(values), -1)
            is_invalid = ~(np.abs(flat.astype(np.float64)) <= FLOAT32_MAX)
            for row, column in np.argwhere(is_invalid):
                name = npz.members[role].name
                column_name = name if flat.shape[1] == 1 else f"{name}[{column}]"
                value = str(flat[row, column])
                errors.add(first + int(row) + 1, column_name, FITS_FLOAT32_RULE, value)
    errors.check()


def _cut_pieces(
    pieces: Iterator[tuple[int, NDArray[np.generic]]],
) -> Iterator[tuple[int, NDArray[np.generic]]]:
    """Cut pieces of rows into some of at most MAX_PIECE_VALUES values, or of one row."""
    for first, rows in pieces:
        step = max(1, MAX_PIECE_VALUES * len(rows) // rows.size)
        for at in range(0, len(rows), step):
            yield first + at, rows[at : at + step]


def _skip(stream: IO[bytes], count: int) -> None:
    for start in range(0, count, READ_SIZE):
        _read(stream, min(READ_SIZE, count - start))


def _check_end(stream: IO[bytes]) -> None:
    """Read the end of a member, where zipfile checks the sum of its bytes."""
    if stream.read(1):
        raise EOFError("it is longer than its shape says")


def _read(stream: IO[bytes], count: int) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        raise EOFError("it ends early")
    return data
