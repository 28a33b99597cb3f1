"""Read the bytes of a history: open segments from the store, moved ones from files.

Knows bytes and arrays, no encoding. A segment may move while it is read. So a reader first takes
the job's extent (its tick, and how many segments have moved) and reads no further than that tick;
if a piece is missing in one place, it takes the extent again and tries the other.

Of a file nothing is read unless all of it has the digest that was recorded when it moved.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from jobs.errors import NoSuchJob
from jobs.files.artifacts import ArtifactStore, UnsafePath, validate_name
from jobs.files.file_digests import FileDigests
from jobs.history.errors import DamagedHistory
from jobs.history.summary_rows import BUCKET, ROW, SEGMENT, Summaries
from jobs.store import keys
from jobs.store.connection import Store

VALUE_BYTES = 4  # little-endian float32
MAKE_KEY = {"f32": keys.column, "rows": keys.summary_rows, "sparse": keys.sparse}  # by suffix
VALUE = np.dtype("<f4")
#: suffix of a dense column's pieces -> what they hold, and how many in a segment
ITEMS = {"f32": (VALUE, SEGMENT), "rows": (ROW, SEGMENT // BUCKET)}
POINT = np.dtype([("tick", "<u8"), ("bits", "<u8")])
MAX_READ_ATTEMPTS = 4  # a piece moves once, so a second attempt suffices unless it is lost
MAX_FILE_BYTES = 1 << 30  # more than a segment's points take

#: name of a piece -> the sha256 of its file
Digests = Mapping[str, str]

Points = npt.NDArray[np.void]  # dtype POINT; bits of a float64 or of a state digest


@dataclass(frozen=True)
class Extent:
    """How far a job's history reached at one moment, and how many of its segments were in files."""

    tenant: str
    job_id: str
    status: str
    tick: int
    segments_in_files: int
    columns: tuple[str, ...]


@dataclass(frozen=True)
class SegmentPiece:
    """The values, summary rows or points of one column in one segment."""

    column: str
    segment: int
    suffix: str  # f32: values | rows: summary rows | sparse: points

    @property
    def name(self) -> str:
        """Path below the job's history folder; also its name in the list of digests."""
        return f"{validate_name(self.column)}/{self.segment:06d}.{self.suffix}"

    def key(self, tenant: str, job_id: str) -> str:
        """Return its key in the store while the segment is open."""
        return MAKE_KEY[self.suffix](tenant, job_id, self.column, self.segment)

    def path(self, files: ArtifactStore, tenant: str, job_id: str) -> Path:
        """Return its path once the segment has moved to files."""
        return files.job_folder(tenant, job_id) / "history" / self.name

    def size(self, tick: int) -> int:
        """Return its length in bytes in a history of `tick` ticks; not for sparse points."""
        ticks = min(max(tick - self.segment * SEGMENT, 0), SEGMENT)
        return ticks * VALUE_BYTES if self.suffix == "f32" else ticks // BUCKET * ROW.itemsize


class ColumnReader:
    """Reads histories, correctly also while the job runs and its segments move."""

    def __init__(
        self, store: Store, files: ArtifactStore, digests: FileDigests | None = None
    ) -> None:
        """`digests` may be shared; by default each file is hashed once by this reader."""
        self._store, self._files, self._digests = store, files, digests or FileDigests()

    def read_extent(self, tenant: str, job_id: str) -> Extent:
        """Read how far a job's history reaches now. Raises NoSuchJob."""
        names = ("status", "tick", "segments", "columns", "kind")
        reply: Any = self._store.hmget(keys.job(tenant, job_id), names)
        status, tick, segments_in_files, columns, kind = reply
        if status is None:
            raise NoSuchJob(job_id)
        if kind != b"train":
            tick = 0  # such a job is about the ticks of another and records none
        columns = tuple(json.loads(columns or b"[]"))
        segments_in_files = int(segments_in_files or 0)
        return Extent(tenant, job_id, status.decode(), int(tick or 0), segments_in_files, columns)

    def values(self, extent: Extent, column: str, first: int, last: int) -> npt.NDArray[np.float32]:
        """Read the accepted ticks first…last, inclusive -> float32 [last - first + 1]."""
        assert first >= 1 and last <= extent.tick, "a reader goes no further than its extent"
        return self._read_items(extent, column, "f32", first - 1, last)

    def rows(self, extent: Extent, column: str, start: int, stop: int) -> Summaries:
        """Read the summary rows start…stop-1, all of complete buckets -> ROW [stop - start]."""
        return self._read_items(extent, column, "rows", start, stop)

    def points(self, extent: Extent, column: str, first: int, last: int) -> Points:
        """Read the sparse points of the ticks first…last, in order -> POINT [n]; first may be 0."""
        pieces = list_pieces([column], segments_of(first, last), "sparse")
        recorded = self._recorded_digests(extent, pieces)
        contents = b"".join(self._read_sparse(extent, piece, recorded) for piece in pieces)
        points = np.frombuffer(contents, POINT)
        start, stop = np.searchsorted(points["tick"], np.array([first, last + 1], np.uint64))
        return points[start:stop]

    def check_files(
        self, extent: Extent, dense: Iterable[str], sparse: Iterable[str], first: int, last: int
    ) -> None:
        """Raise DamagedHistory unless all files with these ticks of these columns are intact."""
        segments = segments_of(first, last)
        pieces = [*list_pieces(dense, segments, "f32"), *list_pieces(sparse, segments, "sparse")]
        recorded = self._recorded_digests(extent, pieces)
        for piece in pieces:
            if piece.segment >= extent.segments_in_files:
                continue
            if piece.suffix == "sparse":
                self._read_sparse(extent, piece, recorded)
            else:
                self._read_dense(extent, piece, 0, VALUE_BYTES, recorded)

    def _read_items(
        self, extent: Extent, column: str, suffix: str, start: int, stop: int
    ) -> npt.NDArray[Any]:
        """Read values or summary rows start…stop-1 of a column."""
        dtype, size = ITEMS[suffix]
        width, data = dtype.itemsize, []
        parts = [
            (SegmentPiece(column, segment, suffix), at * width, length * width)
            for segment, at, length in split_at_multiples(start, stop, size)
        ]
        recorded = self._recorded_digests(extent, [piece for piece, _, _ in parts])
        for piece, at, length in parts:
            data.append(self._read_dense(extent, piece, at, length, recorded))
        return np.frombuffer(b"".join(data), dtype)

    def _read_dense(
        self, extent: Extent, piece: SegmentPiece, start: int, length: int, recorded: Digests
    ) -> bytes:
        for _ in range(MAX_READ_ATTEMPTS):
            if piece.segment < extent.segments_in_files:
                data = self._read_file(extent, piece, recorded.get(piece.name), start, length)
            else:
                key = piece.key(extent.tenant, extent.job_id)
                data = bytes(self._store.getrange(key, start, start + length - 1))  # type: ignore[arg-type]
            if data is not None and len(data) == length:
                return data
            extent = self.read_extent(extent.tenant, extent.job_id)
            recorded = self._recorded_digests(extent, [piece])
        raise _damaged(extent, piece)

    def _read_sparse(self, extent: Extent, piece: SegmentPiece, recorded: Digests) -> bytes:
        for _ in range(MAX_READ_ATTEMPTS):
            if piece.segment < extent.segments_in_files:
                if (digest := recorded.get(piece.name)) is None:
                    return b""  # it had no points
                if (data := self._read_file(extent, piece, digest)) is not None:
                    return data
            elif data := self._store.get(piece.key(extent.tenant, extent.job_id)):  # type: ignore[assignment]
                return bytes(data)
            had_moved = piece.segment < extent.segments_in_files
            extent = self.read_extent(extent.tenant, extent.job_id)
            if not had_moved and piece.segment >= extent.segments_in_files:
                return b""  # nothing was recorded: the segment has not moved
            recorded = self._recorded_digests(extent, [piece])
        raise _damaged(extent, piece)

    def _read_file(
        self,
        extent: Extent,
        piece: SegmentPiece,
        digest: str | None,
        start: int = 0,
        length: int = MAX_FILE_BYTES,
    ) -> bytes | None:
        """Read a range of a file; None if it is not there, or is not what was recorded.

        The caller takes the extent again: that raises NoSuchJob if the job was deleted.
        """
        try:
            with self._files.open(piece.path(self._files, extent.tenant, extent.job_id)) as file:
                if digest is None or not self._digests.matches(file, digest):
                    return None
                return os.pread(file.fileno(), length, start)
        except (FileNotFoundError, UnsafePath):
            return None

    def _recorded_digests(self, extent: Extent, pieces: Iterable[SegmentPiece]) -> Digests:
        """Read the sha256 that those of the pieces had which have moved to files."""
        names = [piece.name for piece in pieces if piece.segment < extent.segments_in_files]
        if not names:
            return {}
        key = keys.segment_digests(extent.tenant, extent.job_id)
        digests: list[bytes | None] = self._store.hmget(key, names)  # type: ignore[assignment]
        pairs = zip(names, digests, strict=True)
        return {name: digest.decode() for name, digest in pairs if digest is not None}


def _damaged(extent: Extent, piece: SegmentPiece) -> DamagedHistory:
    name = f"history/{piece.name}"
    return DamagedHistory(f"{name} of {extent.job_id} is not what was recorded", name)


def list_pieces(
    columns: Iterable[str], segments: Iterable[int], *suffixes: str
) -> list[SegmentPiece]:
    """List the pieces of some columns, segment by segment."""
    kinds = [(name, suffix) for name in columns for suffix in suffixes]
    return [SegmentPiece(name, segment, suffix) for segment in segments for name, suffix in kinds]


def decode_floats(points: Points) -> npt.NDArray[np.float64]:
    """Decode the bits of numeric sparse points -> float64 [n]."""
    return np.ascontiguousarray(points["bits"]).view("<f8")


def segments_of(first: int, last: int) -> range:
    """Return the segments of the ticks first…last."""
    return range(segment_of(first), segment_of(last) + 1)


def segment_of(tick: int) -> int:
    """Return the segment of a tick; tick 0 (before any update) belongs to the first."""
    return max(tick - 1, 0) // SEGMENT


def split_at_multiples(start: int, stop: int, size: int) -> Iterator[tuple[int, int, int]]:
    """Split start…stop-1 at multiples of `size`; yield (index, offset in it, length)."""
    while start < stop:
        length = min(size - start % size, stop - start)
        yield start // size, start % size, length
        start += length
