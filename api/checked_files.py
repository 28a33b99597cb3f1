"""The bytes of stored files, sent only while they are those of their digests. Knows no request.

A small file is hashed before its first byte. A large one is hashed while it is sent, and its last
piece waits for the digest: where that differs, the answer ends short of its Content-Length, and the
file is marked, so that the next request is refused at once. A part of a file is sent once the whole
has been hashed.
"""

import hashlib
from collections.abc import Iterator
from typing import BinaryIO

from jobs import logs
from jobs.files.file_digests import FileDigests, FileVersion, version_of
from jobs.queries.damage_marks import DamageMarks

READ_SIZE = 1 << 18  # bytes
MAX_HASHED_FIRST = 1 << 20  # bytes of a file that is hashed before any of it is sent


class DamagedFile(Exception):
    """A stored file has other bytes than were committed."""


class CheckedFiles:
    """Reads open files for downloads. Raises DamagedFile; in an iterator, before its last piece."""

    def __init__(self, digests: FileDigests, marks: DamageMarks) -> None:
        self._digests, self._marks = digests, marks
        self._logger = logs.get_logger("api")

    def check(self, file: BinaryIO, sha256: str) -> None:
        """Raise DamagedFile unless the file has this digest; hashes a version of a file once."""
        if not self._digests.matches(file, sha256):
            raise self._damaged(file)

    def read_part(self, file: BinaryIO, sha256: str, start: int, stop: int) -> Iterator[bytes]:
        """Return the bytes from `start` to `stop` (exclusive) of a file of this digest."""
        self.check(file, sha256)
        return read_range(file, start, stop)

    def read_whole(self, file: BinaryIO, sha256: str, size: int) -> Iterator[bytes]:
        """Return all bytes, hashed anew for each download."""
        version = version_of(file)
        known = self._digests.find(version)
        if known not in (None, sha256) or self._marks.has(version):
            raise self._damaged(file)
        if size > MAX_HASHED_FIRST:
            return self._hash_while_read(file, version, sha256, size)
        data = b"".join(read_range(file, 0, size))
        if hashlib.sha256(data).hexdigest() != sha256:
            raise self._damaged(file)
        return iter([data])

    def _hash_while_read(
        self, file: BinaryIO, version: FileVersion, sha256: str, size: int
    ) -> Iterator[bytes]:
        sha, held = hashlib.sha256(), b""
        for piece in read_range(file, 0, size):
            if held:
                yield held
            sha.update(piece)
            held = piece
        self._digests.remember(version, sha.hexdigest(), sha256)
        if sha.hexdigest() != sha256:
            self._marks.add(version)
            raise self._damaged(file)
        yield held

    def _damaged(self, file: BinaryIO) -> DamagedFile:
        self._logger.error("damaged file", path=file.name)
        return DamagedFile("the stored file's bytes are not what was committed")


def read_range(file: BinaryIO, start: int, stop: int) -> Iterator[bytes]:
    """Yield the bytes of a file from `start` to `stop` (exclusive), a piece at a time."""
    file.seek(start)
    while start < stop and (piece := file.read(min(READ_SIZE, stop - start))):
        start += len(piece)
        yield piece
