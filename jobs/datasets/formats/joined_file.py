"""A dataset's bytes as one file, also where they lie in several. Knows no format.

An appended dataset shares the files of the one it was appended to: its bytes are those of all its
parts, one after another.
"""

import io
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO, Literal, cast

from jobs.datasets.formats.damage import DamagedDataset, StoredPath
from jobs.spec.dataset_binding import DataFile, DataPart

MAX_OPEN_PARTS = 16  # of one dataset: the others are opened again when they are read


class JoinedFile(io.RawIOBase):
    """Reads parts as one file. Raises FileNotFoundError, or DamagedDataset for another length."""

    def __init__(
        self, name: str, parts: Sequence[DataPart], open_part: Callable[[str], BinaryIO]
    ) -> None:
        self.name = name
        self._parts, self._open_part, self._at = parts, open_part, 0
        self._ends = list(accumulate(part.bytes for part in parts))
        self._opened: OrderedDict[int, BinaryIO] = OrderedDict()
        try:
            for number in range(len(parts)):
                self._part(number)
        except BaseException:
            self.close()
            raise

    def iter_parts(self) -> Iterator[BinaryIO]:
        """Yield each part, open; a part is open until some later ones were yielded."""
        yield from map(self._part, range(len(self._parts)))

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Set the position and return it."""
        starts = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._ends[-1]}
        self._at = max(0, starts[whence] + offset)
        return self._at

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        """Read bytes of one part; 0 at the end."""
        view = memoryview(buffer)
        number = bisect_right(self._ends, self._at)
        if number == len(self._parts) or not len(view):
            return 0
        part, end = self._part(number), self._ends[number]
        part.seek(self._at - end + self._parts[number].bytes)
        size: int = part.readinto(view[: end - self._at])  # type: ignore[attr-defined]
        if not size:
            raise DamagedDataset(f"part {number + 1} is shorter than when it was uploaded")
        self._at += size
        return size

    def read_range(self, start: int, size: int) -> bytes:
        """Return `size` bytes from `start` on, from as many parts as needed; fewer at the end."""
        self.seek(start)
        data = self.read(size) or b""
        while len(data) < size and (more := self.read(size - len(data))):
            data += more
        return data

    def close(self) -> None:
        """Close what is open."""
        for part in self._opened.values():
            part.close()
        self._opened.clear()
        super().close()

    def _part(self, number: int) -> BinaryIO:
        if number not in self._opened:
            opened = self._opened[number] = self._open_part(self._parts[number].path)
            if opened.seek(0, io.SEEK_END) != self._parts[number].bytes:
                raise DamagedDataset(f"part {number + 1} has another length than when it came")
            if len(self._opened) > MAX_OPEN_PARTS:
                self._opened.popitem(last=False)[1].close()
        self._opened.move_to_end(number)
        return self._opened[number]


class JoinedPath:
    """Where the parts of a dataset lie; opened as a path is."""

    def __init__(self, root: Path, file: DataFile) -> None:
        self._root, self._parts = root, file.parts
        self.name = f"the dataset of sha256 {file.sha256}"

    def open(self, mode: Literal["rb"], /) -> BinaryIO:
        """Open all parts as one file for reading. Raises as JoinedFile does."""
        return cast(
            BinaryIO,
            JoinedFile(self.name, self._parts, lambda path: (self._root / path).open("rb")),
        )


def locate(artifacts: Path, file: DataFile) -> StoredPath:
    """Return where a dataset's bytes lie below the artifacts."""
    return JoinedPath(artifacts, file) if file.parts else artifacts / file.path
