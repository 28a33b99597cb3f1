"""One archive file of a job while it is written: new parts of its history, then its record.

It is appended to, so that a checkpoint writes only what is new since the one before. A crash leaves
a tail without a record, which readers ignore; the next owner begins a file of its own.
"""

import base64
import os
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any

from jobs import fault_points
from jobs.archive.format import RecordEncoder, encode_bytes, encode_hash
from jobs.files.artifacts import ArtifactStore
from jobs.store.job_snapshot import JobSnapshot

MAX_INLINE_FIELD_BYTES = 1024  # a longer field is written when it changes, not in each record
MAX_FILE_BYTES = 64 << 20  # a longer file is not appended to

HistoryDelta = dict[str, bytes]  # name of a history part -> its new bytes


class JobFile:
    """The file archive/<version>.jsonl of a job; it begins with the snapshot of that version."""

    def __init__(
        self, files: ArtifactStore, tenant: str, job_id: str, snapshot: JobSnapshot
    ) -> None:
        self._files = files
        # the file holds the history after these segments
        self.segments_in_files = snapshot.segments_in_files
        self.path = job_file_path(files, tenant, job_id, snapshot.version, "jsonl")
        self.part_sizes = Counter[str]()  # part's name -> its bytes in the file
        self.newest_event, self.length = 0, 0  # a place among all events, and bytes
        self._encoder, self._long_fields = RecordEncoder(), dict[str, bytes]()

    def can_append(self, snapshot: JobSnapshot) -> bool:
        """Return whether the snapshot can follow: no segment has moved, the file is not full."""
        return self.segments_in_files == snapshot.segments_in_files and self.length < MAX_FILE_BYTES

    def append(self, snapshot: JobSnapshot, delta: HistoryDelta) -> None:
        """Append the delta and a record, durably. After an error, discard this object."""
        text = b"" if self.length else self._encoder.header("job")
        text += b"".join(self._encode_delta(snapshot, delta))
        text += self._encoder.record(build_record(snapshot, without=self._long_fields))
        if self.length:
            append_bytes(self.path, text, offset=self.length)
        else:
            self._files.write(self.path, text)
        self.length += len(text)
        self.part_sizes.update({name: len(data) for name, data in delta.items()})

    def _encode_delta(self, snapshot: JobSnapshot, delta: HistoryDelta) -> list[bytes]:
        encode_line, lines = self._encoder.line, []
        for name, data in delta.items():
            if data:
                lines.append(encode_line({"part": name, "base64": base64.b64encode(data).decode()}))
        for name, value in snapshot.fields.items():
            if len(value) > MAX_INLINE_FIELD_BYTES and self._long_fields.get(name) != value:
                self._long_fields[name] = value
                lines.append(encode_line({"field": name, "value": encode_bytes(value)}))
        for event in snapshot.events:
            lines.append(encode_line({"event": encode_bytes(event)}))
        dropped = int(snapshot.fields.get("events_dropped", b"0"))
        self.newest_event = max(self.newest_event, dropped) + len(snapshot.events)
        return lines


def build_record(snapshot: JobSnapshot, *, without: Collection[str]) -> dict[str, Any]:
    """Build the record of a snapshot, leaving out the fields named in `without`."""
    short_fields = {name: value for name, value in snapshot.fields.items() if name not in without}
    return {
        "version": snapshot.version,
        "fields": encode_hash(short_fields),
        "hashes": {name: encode_hash(fields) for name, fields in snapshot.hashes.items()},
        "removed": [encode_bytes(entry) for entry in snapshot.deleted_checkpoints],
        "audit": [encode_bytes(entry) for entry in snapshot.audit],
        "attempts": [encode_hash(entry) for entry in snapshot.attempts],
    }


def submission_record(snapshot: JobSnapshot, history: HistoryDelta) -> bytes:
    """Encode a complete file of a new job; `history` is what it has in the store, if it has any."""
    encoder = RecordEncoder()
    text = encoder.header("job")
    for name, data in history.items():
        text += encoder.line({"part": name, "base64": base64.b64encode(data).decode()})
    text += b"".join(encoder.line({"event": encode_bytes(event)}) for event in snapshot.events)
    return text + encoder.record(build_record(snapshot, without=()))


def archive_folder(files: ArtifactStore, tenant: str, job_id: str) -> Path:
    """Return the folder of a job's archive files."""
    return files.job_folder(tenant, job_id) / "archive"


def job_file_path(
    files: ArtifactStore, tenant: str, job_id: str, version: int, suffix: str
) -> Path:
    """Return the path of the archive file whose first snapshot has this version."""
    return archive_folder(files, tenant, job_id) / f"{version:09d}.{suffix}"


def append_bytes(path: Path, data: bytes, *, offset: int) -> None:
    """Write bytes at `offset` of an existing file, durably."""
    with path.open("r+b") as file:
        file.seek(offset)
        fault_points.hit("archive:write")
        file.write(data)
        file.flush()
        fault_points.hit("archive:fsync")
        os.fsync(file.fileno())
