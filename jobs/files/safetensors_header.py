"""The names and shapes of a safetensors file, read from its header. Knows no torch.

The format: the header's length in 8 bytes (little-endian), the header as JSON, the bytes.
"""

import json
from typing import BinaryIO

MAX_HEADER_BYTES = 100_000_000  # as the library has it
METADATA = "__metadata__"


class BrokenHeader(ValueError):
    """The file does not begin with a header of this format."""


def read_shapes(file: BinaryIO) -> dict[str, tuple[int, ...]]:
    """Read the shape of each tensor by its name. Raises BrokenHeader."""
    length = int.from_bytes(file.read(8), "little")
    if length > MAX_HEADER_BYTES:
        raise BrokenHeader(f"a header of {length} bytes")
    try:
        header = json.loads(file.read(length))
        entries = {name: entry["shape"] for name, entry in header.items() if name != METADATA}
        return {name: tuple(map(int, shape)) for name, shape in entries.items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise BrokenHeader("a header that is not JSON of tensors") from error
