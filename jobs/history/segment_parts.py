"""The names of a history's bytes: which key while a segment is open, which file afterwards."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jobs.files.artifacts import ArtifactStore, validate_name
from jobs.history.summary_rows import BUCKET, ROW, SEGMENT
from jobs.store import keys

VALUE_BYTES = 4  # little-endian float32


@dataclass(frozen=True)
class SegmentPart:
    """One kind of bytes of one column in one segment."""

    column: str
    segment: int
    suffix: str  # f32: values | rows: summary rows | sparse: points

    @property
    def name(self) -> str:
        """How a digest of it is listed, and where it lies in the job's history folder."""
        return f"{validate_name(self.column)}/{self.segment:06d}.{self.suffix}"

    def key(self, tenant: str, job_id: str) -> str:
        """Where it lies in the store while its segment is open."""
        make_key = {"f32": keys.column, "rows": keys.summary_rows, "sparse": keys.sparse}[
            self.suffix
        ]
        return make_key(tenant, job_id, self.column, self.segment)

    def path(self, files: ArtifactStore, tenant: str, job_id: str) -> Path:
        """Where it lies among the files when its segment has moved."""
        return files.job_folder(tenant, job_id) / "history" / self.name

    def size(self, tick: int) -> int:
        """Bytes of it in a history of `tick` ticks; known of values and rows only."""
        ticks = min(max(tick - self.segment * SEGMENT, 0), SEGMENT)
        return ticks * VALUE_BYTES if self.suffix == "f32" else ticks // BUCKET * ROW.itemsize


def segment_of(tick: int) -> int:
    """Return the segment of a tick; tick 0, the state before any update, belongs to the first."""
    return max(tick - 1, 0) // SEGMENT


def split_at_multiples(start: int, stop: int, size: int) -> Iterator[tuple[int, int, int]]:
    """Cut the items start…stop-1 at multiples of `size`: (which, offset in it, length) of each."""
    while start < stop:
        length = min(size - start % size, stop - start)
        yield start // size, start % size, length
        start += length
