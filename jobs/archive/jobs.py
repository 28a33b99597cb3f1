"""The archive of jobs: what a client was answered about one is in a file before it is answered.

A job has a file from its submission on; others beside its checkpoints take its place, the newest
version counts. Of a job that runs, only its owner knows how far the history reaches; what clients
change of it meanwhile is written as `said`. Makes no job and no history; who reads is rebuild.
"""

import contextlib
import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import redis

from jobs import keys
from jobs.archive.lines import alone, read, unspell
from jobs.archive.shelf import Room, Shelf, named, split
from jobs.archive.volume import News, Volume, home, record_of, text_of, volume_path
from jobs.errors import Fenced, InWork, NoSuchJob
from jobs.files import Files, full_disk_told
from jobs.history.parts import Part, segment_of
from jobs.job import Lease
from jobs.scripts import Scripts
from jobs.snapshot import Snapshot, read_snapshot

#: what clients change of a job that runs
SAID = ("name", "labels", "notes", "priority", "rank", "requested", "wanted", "withdrawn")
LOOKS = 4  # a history may move or grow between two commands; at rest the first look finds it
POINT = 16  # bytes of a sparse point, its tick first


class Archive:
    """Writes jobs to the archive. Every method raises StoreFull where the disk has no room."""

    def __init__(self, store: "redis.Redis", files: Files) -> None:
        self._store, self._files = store, files
        self._scripts, self._shelf = Scripts(store), Shelf(files)

    def room(self) -> AbstractContextManager[Room]:
        """Take room for a submission's record before the store is told of it."""
        return self._shelf.room()

    def submitted(self, room: Room, snapshot: Snapshot, answer: str | None) -> None:
        """Keep a job as it was submitted, with the answer that its idempotency key brings again."""
        if answer is not None:
            fields = {**snapshot.fields, "answer": answer.encode()}
            snapshot = replace(snapshot, fields=fields)
        tenant, job_id = (snapshot.fields[name].decode() for name in ("tenant", "id"))
        self._shelf.put(self._submission(tenant, job_id), text_of(snapshot), room)

    def assure(self, tenant: str, job_id: str) -> None:
        """See to it that a job is kept whose submission may have been cut short.

        Raises InWork for one that trains already and was not kept by its worker yet.
        """
        if not self._keeps(tenant, job_id) and self.job(tenant, job_id) is None:
            raise InWork(job_id)

    def job(
        self,
        tenant: str,
        job_id: str,
        *,
        lease: Lease | None = None,
        volume: Volume | None = None,
    ) -> Volume | None:
        """Keep a job as it is now, on disk when this returns; its owner shows the lease.

        Goes on in `volume` where that fits, and gives the file to go on in; None where another
        owns the job, and only what clients said of it was kept. Raises NoSuchJob or Fenced.
        """
        for _ in range(LOOKS):
            snapshot = self._snapshot(tenant, job_id, lease, volume.events if volume else 0)
            if lease is None and snapshot.status == "running" and snapshot.columns:
                self._say(tenant, job_id, snapshot)
                return None
            if volume is not None and not volume.fits(snapshot):
                volume = None
                continue
            kept = volume or Volume(self._files, tenant, job_id, snapshot)
            news = self._news(tenant, job_id, snapshot, kept.have)
            if news is not None:
                break
        else:
            raise InWork(job_id)
        with full_disk_told():
            kept.add(snapshot, news)
        if volume is None:
            self._settle(tenant, job_id, snapshot.version, owned=lease is not None)
        return kept

    def deleted(self, tenant: str, job_id: str, sequence: int, known: Sequence[str]) -> None:
        """Keep that a job was deleted: no rebuild makes it again."""
        gone = {"tenant": tenant, "id": job_id, "sequence": sequence, "known": list(known)}
        at: float | None = self._store.zscore(keys.tombstones(tenant), job_id)
        record = {**gone, "deleted_ms": int(at or 0)}
        self._shelf.put(self._tombstone(tenant, job_id), alone("gone", record))
        self._shelf.drop(self._submission(tenant, job_id))

    def assure_deleted(self, tenant: str, job_id: str) -> None:
        """The same for one whose deletion may have been cut short; does nothing for any other."""
        if self._store.zscore(keys.tombstones(tenant), job_id) is None:
            return
        submission = self._submission(tenant, job_id)
        if submission.exists() and not self._tombstone(tenant, job_id).exists():
            record = read(self._files, submission).record
            sequence = int(unspell(record["fields"]["seq"]))
            self.deleted(tenant, job_id, sequence, list(record["hashes"]["known"]))

    def sweep(self) -> None:
        """Remove what processes that died have left: room for records, files of deleted jobs."""
        self._shelf.sweep()
        for name in self._shelf.names("deleted"):
            tenant, job_id = split(name)
            if self._files.job(tenant, job_id).exists():
                self._files.remove_job(tenant, job_id)

    def _snapshot(self, tenant: str, job_id: str, lease: Lease | None, events: int) -> Snapshot:
        header: dict[str, object] = {"member": keys.member(tenant, job_id), "events": events}
        if lease is not None:
            header |= {"term": lease.term, "nonce": lease.nonce}
        answer, *rest = self._scripts.call("snapshot", header)
        if answer == b"gone":
            raise NoSuchJob(job_id)
        if answer == b"fenced":
            raise Fenced(f"{job_id}: the lease is over")
        return read_snapshot(rest)

    def _news(
        self, tenant: str, job_id: str, snapshot: Snapshot, have: Mapping[str, int]
    ) -> News | None:
        """What is new of the history's open part; None where it has moved meanwhile."""
        segments = range(snapshot.moved, segment_of(snapshot.tick) + 1)
        dense = [
            Part(name, number, suffix)
            for number in segments for name in snapshot.columns for suffix in ("f32", "rows")
        ]  # fmt: skip
        points = [Part(name, number, "sparse") for number in segments for name in snapshot.sparse]
        with self._store.pipeline(transaction=False) as pipe:
            for part in dense:
                start, stop = have.get(part.name, 0), part.size(snapshot.tick)
                pipe.getrange(part.key(tenant, job_id), start, max(start, stop) - 1)
            for part in points:
                pipe.getrange(part.key(tenant, job_id), have.get(part.name, 0), -1)
            found: list[bytes] = pipe.execute()
        news: News = {}
        for part, data in zip(dense, found, strict=False):
            size = part.size(snapshot.tick) - have.get(part.name, 0)
            news[part.name] = data if size > 0 else b""
            if len(news[part.name]) != max(size, 0):
                return None
        for part, data in zip(points, found[len(dense) :], strict=True):
            news[part.name] = _upto(snapshot.tick, data)
        return news

    def _say(self, tenant: str, job_id: str, snapshot: Snapshot) -> None:
        record = record_of(snapshot, without=snapshot.fields.keys() - set(SAID))
        path = volume_path(self._files, tenant, job_id, snapshot.version, "said")
        self._shelf.put(path, alone("said", record))
        self._tidy(tenant, job_id, snapshot.version, (".said",))

    def _settle(self, tenant: str, job_id: str, version: int, *, owned: bool) -> None:
        """Remove what a new file takes the place of; all, if the job was deleted meanwhile."""
        self._tidy(tenant, job_id, version, (".said", ".jsonl"))
        if not owned and not self._store.exists(keys.job(tenant, job_id)):
            self._files.remove_job(tenant, job_id)
            raise NoSuchJob(job_id)

    def _tidy(self, tenant: str, job_id: str, version: int, endings: tuple[str, ...]) -> None:
        folder = home(self._files, tenant, job_id)
        with contextlib.suppress(OSError):  # what stays is old, and the newest counts
            for name in os.listdir(folder):
                number, ending = os.path.splitext(name)
                if ending in endings and number.isdigit() and int(number) < version:
                    (folder / name).unlink(missing_ok=True)

    def _keeps(self, tenant: str, job_id: str) -> bool:
        folder = home(self._files, tenant, job_id)
        return self._submission(tenant, job_id).exists() or any(folder.glob("*.jsonl"))

    def _submission(self, tenant: str, job_id: str) -> Path:
        return self._shelf.path("submitted", named(tenant, job_id))

    def _tombstone(self, tenant: str, job_id: str) -> Path:
        return self._shelf.path("deleted", named(tenant, job_id))


def _upto(tick: int, points: bytes) -> bytes:
    """Sparse points of the ticks up to this one; they come in order."""
    stop = len(points) - len(points) % POINT
    while stop and int.from_bytes(points[stop - POINT : stop - POINT + 8], "little") > tick:
        stop -= POINT
    return points[:stop]
