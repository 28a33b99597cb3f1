"""A file on its way to the server: read a piece at a time, from its beginning for every try."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from tickforge_client.errors import TickforgeError

READ_SIZE = 1 << 18  # bytes read at a time
#: how a file's name tells its type
MEDIA_TYPES = {
    ".csv": "text/csv",
    ".jsonl": "application/x-ndjson",
    ".ndjson": "application/x-ndjson",
    ".txt": "text/plain",
    ".npz": "application/x-npz",
}


class UnknownType(TickforgeError, ValueError):
    """A file whose name does not tell its type; the text says which are known."""


class FileBody:
    """The bytes of a file, as often as they are asked for. ON_BYTES hears how many are read."""

    def __init__(self, path: Path, on_bytes: Callable[[int], None] | None = None) -> None:
        self.path, self.size = path, path.stat().st_size
        self._on_bytes = on_bytes

    def __iter__(self) -> Iterator[bytes]:
        bytes_read = 0
        with self.path.open("rb") as file:
            # no more than was announced, should it grow meanwhile
            while bytes_read < self.size and (
                piece := file.read(min(READ_SIZE, self.size - bytes_read))
            ):
                bytes_read += len(piece)
                if self._on_bytes is not None:
                    self._on_bytes(bytes_read)
                yield piece


def media_type_of(path: Path) -> str:
    """The media type that a file's name tells; raises UnknownType."""
    media_type = MEDIA_TYPES.get(path.suffix.lower())
    if media_type is None:
        suffixes = ", ".join(MEDIA_TYPES)
        raise UnknownType(f"{path}: a name that ends in one of {suffixes}, or a type (--type)")
    return media_type
