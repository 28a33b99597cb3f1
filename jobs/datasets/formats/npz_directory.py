"""Check the size of a zip file's list of members before all of it is read into memory."""

import os
import struct
from typing import BinaryIO

from jobs.datasets.formats.data_errors import data_error

MAX_DIRECTORY_BYTES = 1 << 18  # some two thousand arrays
ZIP_RULE = "a zip file as numpy.savez writes it"
END_BYTES, LOCATOR_BYTES, END64_BYTES = 22, 20, 56


def check_directory(file: BinaryIO) -> None:
    """Raise BadData for a file that does not end as a zip does, or one with a huge list.

    A record of 64 bits before the last one decides where there is one, as it does for zipfile,
    whatever the last one says.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - END64_BYTES - LOCATOR_BYTES - END_BYTES))
    data = file.read()
    end, before = data[-END_BYTES:], data[:-END_BYTES]
    if len(end) < END_BYTES or end[:4] != b"PK\x05\x06" or end[20:] != b"\0\0":
        raise data_error(ZIP_RULE)
    (directory,) = struct.unpack("<L", end[12:16])
    if before[-LOCATOR_BYTES:].startswith(b"PK\x06\x07"):
        directory = _directory_size64(before, size)
    if directory > MAX_DIRECTORY_BYTES:
        rule = f"{ZIP_RULE}, whose list of arrays has at most {MAX_DIRECTORY_BYTES:,} bytes"
        raise data_error(rule, directory)


def _directory_size64(before: bytes, size: int) -> int:
    """Return the size in the record of 64 bits, which must be where its locator says."""
    record, locator = before[:-LOCATOR_BYTES], before[-LOCATOR_BYTES:]
    if len(record) < END64_BYTES or not record.startswith(b"PK\x06\x06"):
        raise data_error(ZIP_RULE)
    (offset,) = struct.unpack("<Q", locator[8:16])
    if offset != size - END_BYTES - LOCATOR_BYTES - END64_BYTES:
        raise data_error(f"{ZIP_RULE}: its last records are not one after another", offset)
    return int(struct.unpack("<Q", record[40:48])[0])
