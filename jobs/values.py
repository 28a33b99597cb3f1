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


def finite_or_none(value: float | None) -> float | None:
    """Return a finite number, or None for others, which JSON has no form for."""
    return value if value is not None and math.isfinite(value) else None
