"""The body of an upload: a file read in chunks, from its beginning at every attempt."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from tickforge_client.errors import TickforgeError

READ_SIZE = 1 << 18  # bytes
#: media type by suffix
MEDIA_TYPES = {
    ".csv": "text/csv",
    ".data": "text/csv",
    ".tsv": "text/tab-separated-values",
    ".jsonl": "application/x-ndjson",
    ".ndjson": "application/x-ndjson",
    ".txt": "text/plain",
    ".npz": "application/x-npz",
    ".parquet": "application/vnd.apache.parquet",
}
GZIP_SUFFIX, GZIP_MAGIC = ".gz", b"\x1f\x8b"


class UnknownType(TickforgeError, ValueError):
    """A file name whose suffix implies no media type; the message lists those that do."""


class FileBody:
    """An iterable over a file's bytes; `on_bytes` is called with the number read so far.

    A file is gzip'd if its first bytes say so, whatever its name: no dataset begins with them.
    """

    def __init__(self, path: Path, on_bytes: Callable[[int], None] | None = None) -> None:
        self.path, self.size = path, path.stat().st_size
        with path.open("rb") as file:
            self.is_gzip = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
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
    """Return the media type of a file name's suffix before any .gz. Raises UnknownType."""
    media_type = MEDIA_TYPES.get(Path(path.name.lower().removesuffix(GZIP_SUFFIX)).suffix)
    if media_type is None:
        suffixes = ", ".join(MEDIA_TYPES)
        raise UnknownType(
            f"{path}: a name that ends in one of {suffixes} ({GZIP_SUFFIX} may follow), "
            "or a type (--type)"
        )
    return media_type
