"""Decodes recorded values: float32 of a dense column, float64 or digest of a sparse one."""

import math
import struct

STATE_COLUMN = "state"  # the column of state digests


def decode_value(column: str, raw: bytes) -> float | str:
    """Return the number of 4 or 8 bytes, or a state digest as 16 hex digits."""
    if column == STATE_COLUMN:
        return f"{struct.unpack('<Q', raw)[0]:016x}"
    value: float = struct.unpack("<f" if len(raw) == 4 else "<d", raw)[0]
    return value


def format_bits(raw: bytes) -> str:
    """Return the little-endian bytes of a value in hex, most significant byte first.

    A state digest has the same digits in every answer.
    """
    return raw[::-1].hex()


def describe_bits(column: str, raw: bytes) -> str:
    """Return a value's bits for people, with the number that they are: `3f800000 (1.0)`."""
    bits = format_bits(raw)
    return bits if column == STATE_COLUMN else f"{bits} ({decode_value(column, raw)})"


def finite_or_none(value: float | None) -> float | None:
    """Return a finite number, or None for others, which JSON has no form for."""
    return value if value is not None and math.isfinite(value) else None
