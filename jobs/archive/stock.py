"""What the archive has: jobs as they were last kept, keys, datasets, tombstones. Writes nothing.

Of a job the newest record counts, with what clients said of it since. Every file is checked against
its digest; what is wrong with one is told by its name.
"""

import base64
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jobs import checkpoints
from jobs.archive.jobs import SAID
from jobs.archive.lines import BrokenArchive, Text, read, unspell, unspell_all
from jobs.archive.shelf import FOLDER, Shelf, named, split
from jobs.archive.volume import home
from jobs.files import Files, UnsafePath
from jobs.ids import is_job_id
from jobs.record import read_checkpoint
from jobs.snapshot import HASHES

Flat = dict[str, bytes]


@dataclass
class KeptJob:
    """A job as the archive has it; `faults` are of files that it can do without."""

    tenant: str
    id: str
    fields: Flat
    hashes: dict[str, Flat]
    removed: list[bytes]
    audit: list[bytes]
    attempts: list[Flat]
    events: list[bytes]
    parts: dict[str, bytes]  # of its history's open part, by name
    faults: list[str] = field(default_factory=list)

    @property
    def status(self) -> str:
        """Its status when it was kept."""
        return self.fields["status"].decode()


class Stock:
    """Reads the archive below one folder of artifacts."""

    def __init__(self, files: Files) -> None:
        self._files, self._shelf = files, Shelf(files)

    def job_names(self) -> list[tuple[str, str]]:
        """Tenant and id of every job that was not deleted."""
        found = {split(name) for name in self._shelf.names("submitted")}
        for folder in self._folders():
            found.add((folder.parent.name, folder.name))
        gone = {split(name) for name in self._shelf.names("deleted")}
        return sorted((tenant, job_id) for tenant, job_id in found - gone)

    def job(self, tenant: str, job_id: str) -> KeptJob:
        """Read a job and check its history's files; raises BrokenArchive where it is not whole."""
        texts, faults = self._texts(tenant, job_id)
        kept = _job(tenant, job_id, texts[0])
        said = [text for text in texts if text.kind == "said"]
        if said and _version(newest := max(said, key=_version)) > _version(texts[0]):
            _lay_over(kept, newest.record)
        versions = [_version(text) for text in texts]
        kept.fields["archived"] = str(max(versions)).encode()
        self._check_history(kept)
        kept.faults += faults + list(self._faulty_checkpoints(kept))
        return kept

    def records(self, folder: str) -> Iterator[dict[str, Any] | BrokenArchive]:
        """Read all records of a shelf's folder, in the order of their sequence numbers."""
        found = []
        for name in self._shelf.names(folder):
            try:
                found.append(read(self._files, self._shelf.path(folder, name)).record)
            except BrokenArchive as error:
                yield error
        yield from sorted(found, key=_sequence)

    def check_bytes(self, record: dict[str, Any]) -> None:
        """Raise BrokenArchive unless a dataset's bytes lie where its record says."""
        fields = record["fields"]
        path = self._files.root / fields["path"]
        try:
            with self._files.open(path) as file:
                size = os.fstat(file.fileno()).st_size
        except (FileNotFoundError, UnsafePath) as error:
            raise BrokenArchive(path, f"the bytes of dataset {fields['id']} are missing") from error
        if size != int(fields["bytes"]):
            raise BrokenArchive(path, f"of dataset {fields['id']}, has {size} bytes")

    def _folders(self) -> Iterator[Path]:
        """Folders of jobs, whatever is in them."""
        if not self._files.root.is_dir():
            return
        for tenant in sorted(self._files.root.iterdir()):
            if tenant.name != FOLDER and tenant.is_dir():
                yield from (each for each in sorted(tenant.iterdir()) if is_job_id(each.name))

    def _texts(self, tenant: str, job_id: str) -> tuple[list[Text], list[str]]:
        """A job's files, the newest whole one first, and what is wrong with older ones."""
        folder = home(self._files, tenant, job_id)
        whole = sorted(folder.glob("*.jsonl"), reverse=True)
        submission = self._shelf.path("submitted", named(tenant, job_id))
        if submission.exists():
            whole.append(submission)
        if not whole:
            raise BrokenArchive(folder, "there is no record of this job")
        first = read(self._files, whole[0])
        found, faults = [first], []
        for path in [*whole[1:], *folder.glob("*.said")]:
            try:
                found.append(read(self._files, path))
            except BrokenArchive as error:
                faults.append(str(error))
        jobs = [text for text in found if text.kind == "job"]
        best = max(jobs, key=_version)
        return [best, *(text for text in found if text is not best)], faults

    def _check_history(self, kept: KeptJob) -> None:
        folder = self._files.job(kept.tenant, kept.id) / "history"
        for name, digest in kept.hashes["digests"].items():
            path = folder / name
            try:
                whole = self._files.sha256(path) == digest.decode()
            except (FileNotFoundError, UnsafePath) as error:
                raise BrokenArchive(path, "a part of a history is missing") from error
            if not whole:
                raise BrokenArchive(path, "a part of a history has other bytes than it had")

    def _faulty_checkpoints(self, kept: KeptJob) -> Iterator[str]:
        for text in kept.hashes["checkpoints"].values():
            checkpoint = read_checkpoint(text)
            folder = checkpoints.path(self._files, kept.tenant, kept.id, checkpoint)
            try:
                for entry in checkpoint.files:
                    checkpoints.open_file(
                        self._files, kept.tenant, kept.id, checkpoint, entry.name
                    )[0].close()
            except (checkpoints.DamagedCheckpoint, UnsafePath) as error:
                yield f"{folder}: {error}"


def _job(tenant: str, job_id: str, text: Text) -> KeptJob:
    record = text.record
    fields = unspell_all(record["fields"])
    parts: dict[str, bytes] = {}
    events = []
    for line in text.added:
        if "part" in line:
            data = base64.b64decode(line["base64"])
            parts[line["part"]] = parts.get(line["part"], b"") + data
        elif "field" in line:
            fields[line["field"]] = unspell(line["value"])
        else:
            events.append(unspell(line["event"]))
    dropped = int(fields.get("events_dropped", b"0"))
    return KeptJob(
        tenant=tenant,
        id=job_id,
        fields=fields,
        hashes={name: unspell_all(record["hashes"][name]) for name in HASHES},
        removed=[unspell(each) for each in record["removed"]],
        audit=[unspell(each) for each in record["audit"]],
        attempts=[unspell_all(each) for each in record["attempts"]],
        events=_newest(events, dropped),
        parts=parts,
    )


def _lay_over(kept: KeptJob, said: dict[str, Any]) -> None:
    """Put what clients said of a running job over its owner's older record."""
    fields = unspell_all(said["fields"])
    hashes = {name: unspell_all(told) for name, told in said["hashes"].items()}
    for name in SAID:
        kept.fields.pop(name, None)
    kept.fields |= fields
    kept.hashes |= {name: hashes[name] for name in ("answers", "known")}
    kept.removed = [unspell(each) for each in said["removed"]]
    # one that was committed since belongs to ticks that are not known here
    now = hashes["checkpoints"]
    had = kept.hashes["checkpoints"]
    kept.hashes["checkpoints"] = {tick: now[tick] for tick in had if tick in now}
    left = [read_checkpoint(text) for text in kept.hashes["checkpoints"].values()]
    kept.fields["checkpoint_bytes"] = str(sum(each.bytes for each in left)).encode()
    kept.fields.pop("latest_checkpoint", None)
    if left:
        kept.fields["latest_checkpoint"] = str(max(each.tick for each in left)).encode()


def _newest(events: list[bytes], dropped: int) -> list[bytes]:
    """The events that were in the store: a file keeps also those that the store had dropped."""
    return [event for event in events if json.loads(event)["seq"] > dropped]


def _version(text: Text) -> int:
    version: int = text.record["version"]
    return version


def _sequence(record: dict[str, Any]) -> int:
    if "fields" in record:
        return int(unspell(record["fields"]["seq"]))
    return int(record.get("sequence", 0))
