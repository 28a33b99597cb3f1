"""The body of an upload: a file read in chunks, from its beginning at every attempt."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from tickforge_client.errors import TickforgeError

READ_SIZE = 1 << 18  # bytes
#: media type by suffix
MEDIA_TYPES = {
    ".csv": "text/csv",
    ".jsonl": "application/x-ndjson",
    ".ndjson": "application/x-ndjson",
    ".txt": "text/plain",
    ".npz": "application/x-npz",
}


class UnknownType(TickforgeError, ValueError):
    """A file name whose suffix implies no media type; the message lists those that do."""


class FileBody:
    """An iterable over a file's bytes; `on_bytes` is called with the number read so far."""

    def __init__(self, path: Path, on_bytes: Callable[[int], None] | None = None) -> None:
        self.path, self.size = path, path.stat().st_size
        self._on_bytes = on_bytes

    def __iter__(self) -> Iterator[bytes]:
        bytes_read = 0
        with self.path.open("rb") as file:
            # a file that grows meanwhile must not exceed the announced Content-Length
            while bytes_read < self.size and (
                piece := file.read(min(READ_SIZE, self.size - bytes_read))
            ):
                bytes_read += len(piece)
                if self._on_bytes is not None:
                    self._on_bytes(bytes_read)
                yield piece


def media_type_of(path: Path) -> str:
    """Return the media type of a file name's suffix. Raises UnknownType."""
    media_type = MEDIA_TYPES.get(path.suffix.lower())
    if media_type is None:
        raise UnknownType(
            f"{path}: a name that ends in one of {', '.join(MEDIA_TYPES)}, or a type (--type)"
        )
    return media_type
