"""Read the file of an uploaded dataset in pieces, and check that it is what was uploaded."""

import hashlib
from collections.abc import Callable, Iterator

from jobs.datasets.formats.damage import DamagedDataset, StoredPath

READ_SIZE = 1 << 20  # bytes read at a time
PROGRESS_EVERY = 64  # pieces of READ_SIZE between two announcements

#: called with the name of each phase that takes time
Announce = Callable[[str], None]


def ignore_phase(phase: str) -> None:
    """Ignore a phase: the default where nothing displays it."""


def read_with_checksum(path: StoredPath, sha256: str, announce: Announce) -> Iterator[bytes]:
    """Yield a file's bytes in pieces; raises DamagedDataset at its end if the hash differs."""
    sha, piece_count = hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            while piece := file.read(READ_SIZE):
                sha.update(piece)
                if piece_count % PROGRESS_EVERY == 0:
                    announce("loading")
                piece_count += 1
                yield piece
    except FileNotFoundError as error:
        raise DamagedDataset(f"{path.name} is missing") from error
    if sha.hexdigest() != sha256:
        raise DamagedDataset(f"{path.name} has other bytes than were uploaded")
