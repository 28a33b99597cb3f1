"""Decodes recorded values: float32 of a dense column, float64 or digest of a sparse one."""

import struct

STATE_COLUMN = "state"  # the column of state digests


def decode_value(column: str, raw: bytes) -> float | str:
    """Return the number of 4 or 8 bytes, or a state digest as 16 hex digits."""
    if column == STATE_COLUMN:
        return f"{struct.unpack('<Q', raw)[0]:016x}"
    value: float = struct.unpack("<f" if len(raw) == 4 else "<d", raw)[0]
    return value
