"""Read the archive: jobs, keys, datasets and tombstones. Writes nothing.

A job's newest record counts, with the clients' changes since. Every file is checked against its
digest; errors name the file.
"""

import base64
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jobs.archive.client_changes import apply_changes
from jobs.archive.format import (
    BrokenArchive,
    ParsedFile,
    decode_bytes,
    decode_hash,
    read_file,
    sequence_of,
)
from jobs.archive.job_file import archive_folder
from jobs.archive.record_folders import ARCHIVE_FOLDER, RecordFolders, record_name
from jobs.archive.request_records import read_requests
from jobs.files import checkpoint_folders
from jobs.files.artifacts import ArtifactStore, UnsafePath
from jobs.ids import is_job_id
from jobs.spec.dataset_binding import read_parts
from jobs.store.codec import parse_checkpoint
from jobs.store.job_snapshot import HASH_NAMES, JobSnapshot
from jobs.store.numbering import event_numbering


@dataclass(frozen=True)
class ArchivedJob(JobSnapshot):
    """A job as it was last archived; `problems` are those of files that it can do without."""

    tenant: str
    id: str
    parts: Mapping[str, bytes]  # history that was still in the store, by part
    problems: Sequence[str] = ()


class ArchiveReader:
    """Reads the archive below one folder of artifacts."""

    def __init__(self, files: ArtifactStore) -> None:
        self._files, self._folders = files, RecordFolders(files)

    def job_names(self) -> list[tuple[str, str]]:
        """List (tenant, id) of every job that was not deleted, sorted."""
        names = set(self._folders.split_names("submitted"))
        for folder in self._job_folders():
            names.add((folder.parent.name, folder.name))
        return sorted(names - set(self._folders.split_names("deleted")))

    def read_job(self, tenant: str, job_id: str) -> ArchivedJob:
        """Read a job and check its history files. Raises BrokenArchive if it is incomplete."""
        (latest, *others), problems = self._read_files(tenant, job_id)
        job = self._with_requests(_build_job(tenant, job_id, latest), problems)
        client_changes = [parsed_file for parsed_file in others if parsed_file.kind == "said"]
        newest = max([latest, *client_changes], key=_version_of)
        if newest is not latest:
            events = [decode_bytes(line["event"]) for line in newest.additions]
            job = apply_changes(job, newest.record, events)
        version = max(map(_version_of, [latest, *others]))
        job = replace(job, fields={**job.fields, "archived": str(version).encode()})
        self._check_history(job)
        return replace(job, problems=[*problems, *self._find_damaged_checkpoints(job)])

    def read_records(self, folder: str) -> Iterator[dict[str, Any] | BrokenArchive]:
        """Read all records of a folder by sequence number, after the errors of damaged files."""
        records = []
        for name in self._folders.names(folder):
            try:
                records.append(read_file(self._files, self._folders.path(folder, name)).record)
            except BrokenArchive as error:
                yield error
        yield from sorted(records, key=sequence_of)

    def check_bytes(self, record: dict[str, Any]) -> None:
        """Raise BrokenArchive unless a dataset's files exist with the lengths in its record."""
        fields = record["fields"]
        for part in read_parts(fields):
            path = self._files.root / part.path
            try:
                with self._files.open(path) as file:
                    size = os.fstat(file.fileno()).st_size
            except (FileNotFoundError, UnsafePath) as error:
                reason = f"the bytes of dataset {fields['id']} are missing"
                raise BrokenArchive(path, reason) from error
            if size != part.bytes:
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
        parsed_files, problems = [read_file(self._files, paths[0])], []
        changed = self._folders.path("changed", record_name(tenant, job_id))
        changes = [*folder.glob("*.said"), *([changed] if changed.exists() else [])]
        for path in [*paths[1:], *changes]:
            try:
                parsed_files.append(read_file(self._files, path))
            except BrokenArchive as error:
                problems.append(str(error))
        job_files = [parsed_file for parsed_file in parsed_files if parsed_file.kind == "job"]
        latest = max(job_files, key=_version_of)
        others = [parsed_file for parsed_file in parsed_files if parsed_file is not latest]
        return [latest, *others], problems

    def _with_requests(self, job: ArchivedJob, problems: list[str]) -> ArchivedJob:
        """Return the job with its checkpoint requests; add the problems of their files."""
        answers, known = dict(job.hashes["answers"]), dict(job.hashes["known"])
        for request in read_requests(self._files, job.tenant, job.id):
            if isinstance(request, BrokenArchive):
                problems.append(str(request))
                continue
            key, digest, response = (request[name] for name in ("key", "digest", "response"))
            answers[key], known[key] = response.encode(), digest.encode()
        return replace(job, hashes={**job.hashes, "answers": answers, "known": known})

    def _check_history(self, job: ArchivedJob) -> None:
        for name, digest in job.hashes["digests"].items():
            path = self._files.job_folder(job.tenant, job.id) / "history" / name
            try:
                is_intact = self._files.compute_sha256(path) == digest.decode()
            except (FileNotFoundError, UnsafePath) as error:
                raise BrokenArchive(path, "a part of a history is missing") from error
            if not is_intact:
                raise BrokenArchive(path, "a part of a history has other bytes than it had")

    def _find_damaged_checkpoints(self, job: ArchivedJob) -> Iterator[str]:
        for checkpoint in map(parse_checkpoint, job.hashes["checkpoints"].values()):
            place = (self._files, job.tenant, job.id, checkpoint)
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
            parts[line["part"]] = parts.get(line["part"], b"") + base64.b64decode(line["base64"])
        elif "field" in line:
            fields[line["field"]] = decode_bytes(line["value"])
        else:
            events.append(decode_bytes(line["event"]))
    dropped = int(fields.get("events_dropped", b"0"))  # by the store; a file holds them still
    last_dropped = event_numbering(fields.get("rebuilds")).number(dropped) if dropped else 0
    return ArchivedJob(
        fields=fields,
        hashes={name: decode_hash(record["hashes"][name]) for name in HASH_NAMES},
        deleted_checkpoints=list(map(decode_bytes, record["removed"])),
        audit=list(map(decode_bytes, record["audit"])),
        attempts=list(map(decode_hash, record["attempts"])),
        events=[event for event in events if json.loads(event)["seq"] > last_dropped],
        tenant=tenant,
        id=job_id,
        parts=parts,
    )


def _version_of(parsed_file: ParsedFile) -> int:
    return int(parsed_file.record["version"])
