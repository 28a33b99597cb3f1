"""Where the bytes of a history are: a key while their segment is open, a file afterwards."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jobs.files.artifacts import ArtifactStore, validate_name
from jobs.history.summary_rows import BUCKET, ROW, SEGMENT
from jobs.store import keys

VALUE_BYTES = 4  # little-endian float32
MAKE_KEY = {"f32": keys.column, "rows": keys.summary_rows, "sparse": keys.sparse}  # by suffix


@dataclass(frozen=True)
class SegmentPart:
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


def segment_of(tick: int) -> int:
    """Return the segment of a tick; tick 0 (before any update) belongs to the first."""
    return max(tick - 1, 0) // SEGMENT


def split_at_multiples(start: int, stop: int, size: int) -> Iterator[tuple[int, int, int]]:
    """Split start…stop-1 at multiples of `size`; yield (index, offset in it, length)."""
    while start < stop:
        length = min(size - start % size, stop - start)
        yield start // size, start % size, length
        start += length
