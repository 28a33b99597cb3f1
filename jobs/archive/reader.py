"""Read the archive: jobs, keys, datasets and tombstones. Writes nothing.

A job's newest record counts, with the clients' changes since. Every file is checked against its
digest; errors name the file.
"""

import base64
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jobs.archive.format import BrokenArchive, ParsedFile, decode_bytes, decode_hash, read_file
from jobs.archive.job_file import archive_folder
from jobs.archive.jobs import CLIENT_FIELDS
from jobs.archive.record_folders import (
    ARCHIVE_FOLDER,
    RecordFolders,
    record_name,
    split_record_name,
)
from jobs.files import checkpoint_folders
from jobs.files.artifacts import ArtifactStore, UnsafePath
from jobs.ids import is_job_id
from jobs.store.codec import parse_checkpoint
from jobs.store.job_snapshot import HASH_NAMES

DecodedHash = dict[str, bytes]


@dataclass
class ArchivedJob:
    """A job as it was last archived; `problems` are those of files that it can do without."""

    tenant: str
    id: str
    fields: DecodedHash
    hashes: dict[str, DecodedHash]
    removed: list[bytes]
    audit: list[bytes]
    attempts: list[DecodedHash]
    events: list[bytes]
    parts: dict[str, bytes]  # history that was still in the store, by part
    problems: list[str] = field(default_factory=list)

    @property
    def status(self) -> str:
        """The job's status when it was archived."""
        return self.fields["status"].decode()


class ArchiveReader:
    """Reads the archive below one folder of artifacts."""

    def __init__(self, files: ArtifactStore) -> None:
        self._files, self._folders = files, RecordFolders(files)

    def job_names(self) -> list[tuple[str, str]]:
        """List (tenant, id) of every job that was not deleted, sorted."""
        names = {split_record_name(name) for name in self._folders.names("submitted")}
        for folder in self._job_folders():
            names.add((folder.parent.name, folder.name))
        deleted = {split_record_name(name) for name in self._folders.names("deleted")}
        return sorted((tenant, job_id) for tenant, job_id in names - deleted)

    def read_job(self, tenant: str, job_id: str) -> ArchivedJob:
        """Read a job and check its history files. Raises BrokenArchive if it is incomplete."""
        parsed_files, problems = self._read_files(tenant, job_id)
        archived_job = _build_job(tenant, job_id, parsed_files[0])
        client_changes = [parsed_file for parsed_file in parsed_files if parsed_file.kind == "said"]
        newest = max([parsed_files[0], *client_changes], key=_version_of)
        if newest is not parsed_files[0]:
            _apply_client_changes(archived_job, newest.record)
        archived_job.fields["archived"] = str(max(map(_version_of, parsed_files))).encode()
        self._check_history(archived_job)
        archived_job.problems += problems + list(self._find_damaged_checkpoints(archived_job))
        return archived_job

    def read_records(self, folder: str) -> Iterator[dict[str, Any] | BrokenArchive]:
        """Read all records of a folder by sequence number, after the errors of damaged files."""
        records = []
        for name in self._folders.names(folder):
            try:
                records.append(read_file(self._files, self._folders.path(folder, name)).record)
            except BrokenArchive as error:
                yield error
        yield from sorted(records, key=_sequence_of)

    def check_bytes(self, record: dict[str, Any]) -> None:
        """Raise BrokenArchive unless a dataset's file exists with the length in its record."""
        fields = record["fields"]
        path = self._files.root / fields["path"]
        try:
            with self._files.open(path) as file:
                size = os.fstat(file.fileno()).st_size
        except (FileNotFoundError, UnsafePath) as error:
            raise BrokenArchive(path, f"the bytes of dataset {fields['id']} are missing") from error
        if size != int(fields["bytes"]):
            raise BrokenArchive(path, f"of dataset {fields['id']}, has {size} bytes")

    def _job_folders(self) -> Iterator[Path]:
        """Yield every job's folder."""
        if not self._files.root.is_dir():
            return
        for tenant in sorted(self._files.root.iterdir()):
            if tenant.name != ARCHIVE_FOLDER and tenant.is_dir():
                yield from (folder for folder in sorted(tenant.iterdir()) if is_job_id(folder.name))

    def _read_files(self, tenant: str, job_id: str) -> tuple[list[ParsedFile], list[str]]:
        """Read a job's files, the newest `job` file first, and list the problems of the others."""
        folder = archive_folder(self._files, tenant, job_id)
        paths = sorted(folder.glob("*.jsonl"), reverse=True)
        submission = self._folders.path("submitted", record_name(tenant, job_id))
        if submission.exists():
            paths.append(submission)
        if not paths:
            raise BrokenArchive(folder, "there is no record of this job")
        newest_file = read_file(self._files, paths[0])
        parsed_files, problems = [newest_file], []
        for path in [*paths[1:], *folder.glob("*.said")]:
            try:
                parsed_files.append(read_file(self._files, path))
            except BrokenArchive as error:
                problems.append(str(error))
        job_files = [parsed_file for parsed_file in parsed_files if parsed_file.kind == "job"]
        latest = max(job_files, key=_version_of)
        others = [parsed_file for parsed_file in parsed_files if parsed_file is not latest]
        return [latest, *others], problems

    def _check_history(self, archived_job: ArchivedJob) -> None:
        folder = self._files.job_folder(archived_job.tenant, archived_job.id) / "history"
        for name, digest in archived_job.hashes["digests"].items():
            path = folder / name
            try:
                is_intact = self._files.compute_sha256(path) == digest.decode()
            except (FileNotFoundError, UnsafePath) as error:
                raise BrokenArchive(path, "a part of a history is missing") from error
            if not is_intact:
                raise BrokenArchive(path, "a part of a history has other bytes than it had")

    def _find_damaged_checkpoints(self, archived_job: ArchivedJob) -> Iterator[str]:
        for text in archived_job.hashes["checkpoints"].values():
            checkpoint = parse_checkpoint(text)
            place = (self._files, archived_job.tenant, archived_job.id, checkpoint)
            folder = checkpoint_folders.folder_path(*place)
            try:
                for entry in checkpoint.files:
                    checkpoint_folders.open_file(*place, entry.name)[0].close()
            except (checkpoint_folders.DamagedCheckpoint, UnsafePath) as error:
                yield f"{folder}: {error}"


def _build_job(tenant: str, job_id: str, parsed_file: ParsedFile) -> ArchivedJob:
    record = parsed_file.record
    fields = decode_hash(record["fields"])
    parts: dict[str, bytes] = {}
    events = []
    for line in parsed_file.additions:
        if "part" in line:
            data = base64.b64decode(line["base64"])
            parts[line["part"]] = parts.get(line["part"], b"") + data
        elif "field" in line:
            fields[line["field"]] = decode_bytes(line["value"])
        else:
            events.append(decode_bytes(line["event"]))
    dropped = int(fields.get("events_dropped", b"0"))
    return ArchivedJob(
        tenant=tenant,
        id=job_id,
        fields=fields,
        hashes={name: decode_hash(record["hashes"][name]) for name in HASH_NAMES},
        removed=[decode_bytes(encoded) for encoded in record["removed"]],
        audit=[decode_bytes(encoded) for encoded in record["audit"]],
        attempts=[decode_hash(encoded) for encoded in record["attempts"]],
        events=_without_dropped(events, dropped),
        parts=parts,
    )


def _apply_client_changes(archived_job: ArchivedJob, changes: dict[str, Any]) -> None:
    """Apply the changes of clients to the owner's older record of a running job."""
    fields = decode_hash(changes["fields"])
    hashes = {name: decode_hash(encoded) for name, encoded in changes["hashes"].items()}
    for name in CLIENT_FIELDS:
        archived_job.fields.pop(name, None)
    archived_job.fields |= fields
    archived_job.hashes |= {name: hashes[name] for name in ("answers", "known")}
    archived_job.removed = [decode_bytes(checkpoint) for checkpoint in changes["removed"]]
    # a checkpoint committed since belongs to ticks that this record lacks
    current = hashes["checkpoints"]
    archived = archived_job.hashes["checkpoints"]
    archived_job.hashes["checkpoints"] = {
        tick: current[tick] for tick in archived if tick in current
    }
    remaining = [parse_checkpoint(text) for text in archived_job.hashes["checkpoints"].values()]
    archived_job.fields["checkpoint_bytes"] = str(
        sum(checkpoint.bytes for checkpoint in remaining)
    ).encode()
    archived_job.fields.pop("latest_checkpoint", None)
    if remaining:
        archived_job.fields["latest_checkpoint"] = str(
            max(checkpoint.tick for checkpoint in remaining)
        ).encode()


def _without_dropped(events: list[bytes], dropped: int) -> list[bytes]:
    """Leave out events that the store had dropped; a file holds them still."""
    return [event for event in events if json.loads(event)["seq"] > dropped]


def _version_of(parsed_file: ParsedFile) -> int:
    version: int = parsed_file.record["version"]
    return version


def _sequence_of(record: dict[str, Any]) -> int:
    if "fields" in record:
        return int(decode_bytes(record["fields"]["seq"]))
    return int(record.get("sequence", 0))
