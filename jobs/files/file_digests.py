"""The sha256 of files, each computed once for as long as its file stays as it is. Knows no store.

A file is known by its inode, size and times. What changes them is hashed again; what does not,
such as a disk that loses a bit, is seen where a whole file is hashed while it is sent.
"""

import hashlib
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from threading import Lock
from typing import BinaryIO, NamedTuple, Protocol, runtime_checkable

MAX_REMEMBERED_FILES = 1024  # half a MB in each process of the API
#: a file that changed more recently is hashed again: two changes within a tick of a file system's
#: clock (4 ms on ext4, 2 s on FAT) leave the same times
SETTLING_NS = 2_000_000_000
BLOCK_SIZE = 1 << 20  # bytes
HASHING_LOCKS = 32  # so that many readers of one file wait for one hash


@runtime_checkable
class PartedFile(Protocol):
    """A file whose bytes lie in several, one after another."""

    def iter_parts(self) -> Iterator[BinaryIO]:
        """Yield each of them, open."""


class FileVersion(NamedTuple):
    """What a file is known by: a change of its bytes gives another version."""

    device: int
    inode: int
    size: int
    modified_ns: int
    changed_ns: int


class FileDigests:
    """Digests of the newest files that were hashed in this process. Safe for threads."""

    def __init__(self, clock: Callable[[], int] = time.time_ns) -> None:
        """`clock` returns ns since 1970, as the times of files do."""
        self._clock, self._lock = clock, Lock()
        self._hashing = [Lock() for _ in range(HASHING_LOCKS)]
        self._digests: OrderedDict[FileVersion, str] = OrderedDict()

    def matches(self, file: BinaryIO, sha256: str) -> bool:
        """Return whether an open file has this digest; reads all of it unless that is known."""
        version = version_of(file)
        if (digest := self.find(version)) is None:
            with self._hashing[version.inode % HASHING_LOCKS]:
                if (digest := self.find(version)) is None:
                    digest = hash_whole(file)
                    self.remember(version, digest, sha256)
        return digest == sha256

    def find(self, version: FileVersion) -> str | None:
        """Return the digest of a version, or None if it is not known."""
        with self._lock:
            if (digest := self._digests.get(version)) is not None:
                self._digests.move_to_end(version)
            return digest

    def remember(self, version: FileVersion, digest: str, expected: str) -> None:
        """Remember a computed digest, unless it is the expected one of a file changed just now.

        Another one than expected is always remembered: nothing of that version may be served.
        """
        if digest == expected and self._clock() - version.changed_ns < SETTLING_NS:
            return
        with self._lock:
            self._digests[version] = digest
            self._digests.move_to_end(version)
            if len(self._digests) > MAX_REMEMBERED_FILES:
                self._digests.popitem(last=False)


def version_of(file: BinaryIO) -> FileVersion:
    """Return the version of an open file; one of several files has a version of all of theirs."""
    if isinstance(file, PartedFile):
        return _joint_version([version_of(part) for part in file.iter_parts()])
    status = os.fstat(file.fileno())
    return FileVersion(
        status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    )


def hash_whole(file: BinaryIO) -> str:
    """Return the sha256 in hex of all of an open file; its position stays."""
    sha = hashlib.sha256()
    for part in file.iter_parts() if isinstance(file, PartedFile) else [file]:
        at = 0
        while block := os.pread(part.fileno(), BLOCK_SIZE, at):
            sha.update(block)
            at += len(block)
    return sha.hexdigest()


def _joint_version(versions: list[FileVersion]) -> FileVersion:
    known = hashlib.blake2b(repr([version[1:] for version in versions]).encode(), digest_size=7)
    return FileVersion(
        device=versions[0].device,
        inode=int.from_bytes(known.digest(), "big"),
        size=sum(version.size for version in versions),
        modified_ns=max(version.modified_ns for version in versions),
        changed_ns=max(version.changed_ns for version in versions),
    )
