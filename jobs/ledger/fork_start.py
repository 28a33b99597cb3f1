"""What a fork begins with: files that are in its folder, and what its record says of them.

Values only; knows no store and no file.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobs.job import Checkpoint
from jobs.store.codec import encode_checkpoint


@dataclass(frozen=True)
class OpenPart:
    """The values, summary rows or points of a column in the segment that ticks are appended to.

    `suffix` is f32, rows or sparse; `name` that of the piece in an archive.
    """

    suffix: str
    column: str
    segment: int
    name: str
    data: bytes


@dataclass(frozen=True)
class ForkStart:
    """A new job's copy of its parent's line up to `tick`, with the checkpoint of that tick.

    Without a parent: a job that begins at tick 0 with files of another. `fields` are fields of the
    record, `digests` the sha256 of history files by name, `size` the bytes of all files that count
    in a quota. `continues_bits`: its ticks belong to the parent's fingerprint. `notes` become
    events of its log.
    """

    job_id: str
    parent: str | None
    tick: int
    fields: Mapping[str, str]
    checkpoints: Sequence[Checkpoint]
    digests: Mapping[str, str]
    open_parts: Sequence[OpenPart]
    size: int
    continues_bits: bool
    notes: Sequence[tuple[str, str]] = ()  # level and message

    def header(self) -> dict[str, Any]:
        """Return what lua/submit.lua reads of it, beside the bytes of the open parts."""
        checkpoints = {str(saved.tick): encode_checkpoint(saved) for saved in self.checkpoints}
        return {
            "fields": dict(self.fields),
            "checkpoints": checkpoints,
            "digests": dict(self.digests),
            "parts": [[part.suffix, part.column, part.segment] for part in self.open_parts],
            "bytes": self.size,
            "continues_bits": self.continues_bits,
            "notes": [list(note) for note in self.notes],
        }
