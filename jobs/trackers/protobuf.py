"""Single fields of protobuf messages; jobs/trackers/cells.py has one a tick."""

import numpy as np

from jobs.trackers.cells import message, repeat, varints


def field(first_byte: bytes, content: bytes) -> bytes:
    """Return a field of bytes: its first byte or bytes, its length, its content."""
    return message(first_byte, repeat(content, 1)).tobytes()


def varint_field(first_byte: bytes, value: int) -> bytes:
    """Return a field of a number that is not negative."""
    return first_byte + varints(np.array([value])).tobytes()
