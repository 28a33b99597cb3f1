"""Check the size of a zip file's list of members before all of it is read into memory."""

import os
import struct
from typing import BinaryIO

from jobs.datasets.formats.data_errors import data_error

MAX_DIRECTORY_BYTES = 1 << 18  # some two thousand arrays
ZIP_RULE = "a zip file as numpy.savez writes it"


def check_directory(file: BinaryIO) -> None:
    """Raise BadData for a file that does not end as a zip does, or one with a huge list."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 22))
    end = file.read(22)
    if len(end) < 22 or end[:4] != b"PK\x05\x06" or end[20:] != b"\0\0":
        raise data_error(ZIP_RULE)
    (directory,) = struct.unpack("<L", end[12:16])
    if directory == 0xFFFFFFFF:
        directory = _zip64_directory_size(file, size)
    if directory > MAX_DIRECTORY_BYTES:
        rule = f"{ZIP_RULE}, whose list of arrays has at most {MAX_DIRECTORY_BYTES:,} bytes"
        raise data_error(rule, directory)


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
