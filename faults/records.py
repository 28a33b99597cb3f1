"""The records of one job: read from the store's keys and the files, never from a log.

`Evidence` is all that the invariants look at, as plain values, so that a test can tamper with it.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jobs.files.artifacts import ArtifactStore
from jobs.files.checkpoint_folders import files_match
from jobs.history.column_reader import ColumnReader
from jobs.history.errors import DamagedHistory
from jobs.job import Checkpoint
from jobs.queries.jobs import JobQueries
from jobs.store import keys
from jobs.store.connection import Store

TENANT = "default"


class AuditEntry(NamedTuple):
    """One entry of a job's audit list: a claim, and the ticks that were accepted from it."""

    term: int
    nonce: str
    first: int
    last: int


@dataclass
class Evidence:
    """The records of one job. Points are by column: tick -> its 8 bytes as an integer."""

    job_id: str
    status: str
    tick: int
    stopped_by: str | None
    error: str | None
    attempts: int
    recorded_bytes: int
    keep: int
    sealed: bool
    in_queue: bool
    leased: bool
    columns: dict[str, bytes]
    points: dict[str, dict[int, int]]
    unreadable: str | None  # why the history cannot be read; its columns and points are empty then
    audit: list[AuditEntry]
    checkpoints: list[Checkpoint]
    damaged: list[int]  # ticks of committed checkpoints whose files are not what was committed
    folders: list[str]  # what lies in the checkpoints' folder
    disk: dict[str, int]  # bytes of each file below the job's folder, its log left out
    shown: bytes = b""  # losses that a client has been shown while it ran
    statuses: list[str] = field(default_factory=list)  # statuses that a client has been shown


@dataclass(frozen=True)
class Reference:
    """The result of an undisturbed run of a spec."""

    status: str
    tick: int
    stopped_by: str | None
    columns: dict[str, bytes]
    points: dict[str, dict[int, int]]
    weights: dict[int, str]  # sha256 of the weights by a checkpoint's tick


def gather_evidence(store: Store, files: ArtifactStore, job_id: str) -> Evidence:
    """Read the records of a job. Raises NoSuchJob."""
    job = JobQueries(store).get_job(TENANT, job_id)
    checkpoints = JobQueries(store).list_checkpoints(TENANT, job_id)
    folder = files.job_folder(TENANT, job_id)
    member, queue = keys.job_member(TENANT, job_id), job.spec.queue
    columns, points, unreadable = _history(store, files, job_id)
    return Evidence(
        job_id=job_id,
        status=job.status,
        tick=job.tick,
        stopped_by=job.stopped_by,
        error=None if job.error is None else job.error.type,
        attempts=job.attempt,
        recorded_bytes=job.bytes,
        keep=job.spec.checkpoint.keep,
        sealed=store.hget(keys.job(TENANT, job_id), "sealed") == b"1",
        in_queue=store.zscore(keys.queued_jobs(queue), member) is not None,
        leased=store.zscore(keys.leases(queue), member) is not None,
        columns=columns,
        points=points,
        unreadable=unreadable,
        audit=_audit(store, job_id),
        checkpoints=checkpoints,
        damaged=[c.tick for c in checkpoints if not files_match(files, TENANT, job_id, c)],
        folders=_names(folder / "checkpoints"),
        disk={name: size for name, size in _sizes(folder) if name != "log.txt"},
    )


def make_reference(evidence: Evidence) -> Reference:
    """Make a reference of an undisturbed job's evidence."""
    return Reference(
        evidence.status, evidence.tick, evidence.stopped_by, evidence.columns, evidence.points,
        {checkpoint.tick: checkpoint.sha256 for checkpoint in evidence.checkpoints},
    )  # fmt: skip


def _history(
    store: Store, files: ArtifactStore, job_id: str
) -> tuple[dict[str, bytes], dict[str, dict[int, int]], str | None]:
    reader = ColumnReader(store, files)
    extent = reader.read_extent(TENANT, job_id)
    last = extent.tick
    try:
        columns = {name: reader.values(extent, name, 1, last).tobytes() for name in extent.columns}
    except DamagedHistory as damage:
        return {}, {}, str(damage)
    text: bytes = store.hget(keys.job(TENANT, job_id), "sparse") or b""  # type: ignore[assignment]
    points = {}
    for name in set(text.decode().split()) - {"time"}:  # which is of a clock
        array = reader.points(extent, name, 0, last)
        ticks, bits = np.asarray(array["tick"]).tolist(), np.asarray(array["bits"]).tolist()
        points[name] = dict(zip(ticks, bits, strict=True))
    return columns, points, None


def _audit(store: Store, job_id: str) -> list[AuditEntry]:
    lines: list[bytes] = store.lrange(keys.audit(TENANT, job_id), 0, -1)  # type: ignore[assignment]
    entries = []
    for line in lines:
        term, nonce, first, last = line.decode().split()
        entries.append(AuditEntry(int(term), nonce, int(first), int(last)))
    return entries


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def _sizes(folder: Path) -> list[tuple[str, int]]:
    """List files with their sizes; one of several links to a file stands for it."""
    files = {path.stat().st_ino: path for path in folder.rglob("*") if path.is_file()}
    return [(str(path.relative_to(folder)), path.stat().st_size) for path in files.values()]
