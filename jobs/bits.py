"""A recorded value from its bytes: float32 of a dense column, float64 or digest of a sparse one."""

import struct

DIGEST = "state"  # the column of state digests


def read(column: str, raw: bytes) -> float | str:
    """Return the number, or the 16 hex digits of a state's digest."""
    if column == DIGEST:
        return f"{struct.unpack('<Q', raw)[0]:016x}"
    value: float = struct.unpack("<f" if len(raw) == 4 else "<d", raw)[0]
    return value
