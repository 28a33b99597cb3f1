"""One archive file of one job while it is written: what is new of its history, then its record.

Appended to, so that a checkpoint costs what is new since the one before. A crash between two
records leaves a tail that never counts; who goes on begins a file of his own.
"""

import base64
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

from jobs import fault_points
from jobs.archive.format import EncodedBytes, RecordEncoder, encode_bytes
from jobs.files.artifacts import ArtifactStore
from jobs.store.job_snapshot import HashFields, JobSnapshot

MAX_INLINE_FIELD_BYTES = (
    1024  # bytes; a longer field is written when it is new, not with each record
)
MAX_FILE_BYTES = 64 << 20  # bytes of a file; then another is begun

HistoryDelta = dict[str, bytes]  # part of the history (its name) -> what is new of it


class JobFile:
    """A file of archive/<version>.jsonl in a job's folder, begun with a snapshot's version."""

    def __init__(
        self, files: ArtifactStore, tenant: str, job_id: str, snapshot: JobSnapshot
    ) -> None:
        self._files = files
        self.segments_in_files = (
            snapshot.segments_in_files
        )  # the open part of a history is that behind these segments
        self.path = job_file_path(files, tenant, job_id, snapshot.version, "jsonl")
        self.part_sizes: dict[str, int] = {}  # bytes of each part that are in it
        self.newest_event = 0  # number of the newest event in it
        self.length = 0
        self._encoder, self._long_fields = RecordEncoder(), dict[str, bytes]()

    def can_append(self, snapshot: JobSnapshot) -> bool:
        """Whether this snapshot can be added here."""
        return self.segments_in_files == snapshot.segments_in_files and self.length < MAX_FILE_BYTES

    def append(self, snapshot: JobSnapshot, delta: HistoryDelta) -> None:
        """Append what is new and a record, on disk when this returns; after an error begin anew."""
        text = b"" if self.length else self._encoder.header("job")
        text += b"".join(self._encode_delta(snapshot, delta)) + self._encoder.record(
            self._build_record(snapshot)
        )
        if self.length:
            append_bytes(self.path, text, offset=self.length)
        else:  # whole under its name, or not there
            self._files.write(self.path, text)
        self.length += len(text)
        for name, data in delta.items():
            self.part_sizes[name] = self.part_sizes.get(name, 0) + len(data)

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

    def _build_record(self, snapshot: JobSnapshot) -> dict[str, Any]:
        return build_record(snapshot, without=self._long_fields)


def build_record(snapshot: JobSnapshot, *, without: Collection[str]) -> dict[str, Any]:
    """What a record line says of a job, but for the fields that stand in lines of their own."""
    short_fields = {
        name: encode_bytes(value) for name, value in snapshot.fields.items() if name not in without
    }
    return {
        "version": snapshot.version,
        "fields": short_fields,
        "hashes": {name: _encode_hash(fields) for name, fields in snapshot.hashes.items()},
        "removed": [encode_bytes(entry) for entry in snapshot.deleted_checkpoints],
        "audit": [encode_bytes(entry) for entry in snapshot.audit],
        "attempts": [_encode_hash(entry) for entry in snapshot.attempts],
    }


def submission_record(snapshot: JobSnapshot) -> bytes:
    """A whole file of one snapshot of a job that has no history yet."""
    encoder = RecordEncoder()
    text = encoder.header("job") + b"".join(
        encoder.line({"event": encode_bytes(event)}) for event in snapshot.events
    )
    return text + encoder.record(build_record(snapshot, without=()))


def archive_folder(files: ArtifactStore, tenant: str, job_id: str) -> Path:
    """The folder of a job's archive files."""
    return files.job_folder(tenant, job_id) / "archive"


def job_file_path(
    files: ArtifactStore, tenant: str, job_id: str, version: int, suffix: str
) -> Path:
    """Where the file lies that begins with this version of a job."""
    return archive_folder(files, tenant, job_id) / f"{version:09d}.{suffix}"


def append_bytes(path: Path, data: bytes, *, offset: int) -> None:
    """Add bytes to a file of `at` bytes, on disk when this returns."""
    with path.open("r+b") as file:
        file.seek(offset)
        fault_points.hit("archive:write")
        file.write(data)
        file.flush()
        fault_points.hit("archive:fsync")
        os.fsync(file.fileno())


def _encode_hash(fields: HashFields) -> dict[str, EncodedBytes]:
    return {name: encode_bytes(value) for name, value in fields.items()}
