"""What clients changed of a job since its last whole record, as a file of its own: encode, apply.

A running job's history is its owner's to record, and a full disk takes no whole record: then such a
file holds what clients were promised, and the next whole record replaces it. Knows no file.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

from jobs.archive.format import RecordEncoder, decode_bytes, decode_hash, encode_bytes
from jobs.archive.job_file import build_record
from jobs.store.codec import parse_checkpoint
from jobs.store.job_snapshot import JobSnapshot
from jobs.store.numbering import Numbering, event_numbering

#: fields that clients change
CLIENT_FIELDS = ("name", "labels", "notes", "priority", "rank", "requested", "wanted", "withdrawn")
#: fields that a transition changes
STATUS_FIELDS = ("status", "finished_ms", "phase", "worker", "stopped_by", "error", "deaths")
#: statuses that a client's transition leads to
CLIENT_STATUSES = ("queued", "paused", "cancelled")
MAX_EVENT_BYTES = 1 << 15  # of the newest events, in one record

AnyJob = TypeVar("AnyJob", bound=JobSnapshot)


def encode_changes(snapshot: JobSnapshot) -> bytes:
    """Encode what clients may have changed; of a job that does not run, its newest events too."""
    encoder, fields = RecordEncoder(), (*CLIENT_FIELDS, *STATUS_FIELDS, "rebuilds")
    text = encoder.header("said")
    if snapshot.status != "running":
        for event in _newest_events(snapshot):
            text += encoder.line({"event": encode_bytes(event)})
    return text + encoder.record(build_record(snapshot, without=snapshot.fields.keys() - {*fields}))


def apply_changes(job: AnyJob, changes: dict[str, Any], events: list[bytes]) -> AnyJob:
    """Apply the record of `encode_changes` to the job's older whole record."""
    changed = {name: decode_hash(encoded) for name, encoded in changes["hashes"].items()}
    # a checkpoint committed since belongs to ticks that this record lacks
    archived, current = job.hashes["checkpoints"], changed["checkpoints"]
    checkpoints = {tick: current[tick] for tick in archived if tick in current}
    remaining = list(map(parse_checkpoint, checkpoints.values()))
    new_fields = decode_hash(changes["fields"])
    fields = _merge_status(job, new_fields)
    fields = {name: value for name, value in fields.items() if name not in CLIENT_FIELDS}
    fields |= {name: value for name, value in new_fields.items() if name in CLIENT_FIELDS}
    if events:
        fields |= {name: value for name, value in new_fields.items() if name == "rebuilds"}
        numbering = event_numbering(fields.get("rebuilds"))
        job = replace(job, events=_join_events(job.events, events, numbering))
        fields["events_dropped"] = str(_place(job.events[0], numbering) - 1).encode()
    fields["checkpoint_bytes"] = str(sum(checkpoint.own_bytes for checkpoint in remaining)).encode()
    fields.pop("latest_checkpoint", None)
    if remaining:
        latest = max(checkpoint.tick for checkpoint in remaining)
        fields["latest_checkpoint"] = str(latest).encode()
    # both are empty but in records of earlier builds
    client_hashes = {name: {**job.hashes[name], **changed[name]} for name in ("answers", "known")}
    return replace(
        job,
        fields=fields,
        hashes={**job.hashes, **client_hashes, "checkpoints": checkpoints},
        deleted_checkpoints=list(map(decode_bytes, changes["removed"])),
    )


def _newest_events(snapshot: JobSnapshot) -> list[bytes]:
    newest: list[bytes] = []
    size = 0
    for event in reversed(snapshot.events):
        size += len(event)
        if size > MAX_EVENT_BYTES:
            break
        newest.append(event)
    return newest[::-1]


def _join_events(
    archived: Sequence[bytes], newer: list[bytes], numbering: Numbering
) -> list[bytes]:
    """Continue the archived events; those before a gap are left out, as old ones always are."""
    last = _place(archived[-1], numbering) if archived else 0
    new = [event for event in newer if _place(event, numbering) > last]
    if not new or _place(new[0], numbering) == last + 1:
        return [*archived, *new]
    return new


def _place(event: bytes, numbering: Numbering) -> int:
    """Return an event's place among all that the job ever had, from 1."""
    return numbering.count(json.loads(event)["seq"])


def _merge_status(job: JobSnapshot, changed: dict[str, bytes]) -> dict[str, bytes]:
    """Return the job's fields with the status that clients were shown last.

    How a job went on and ended is its owner's to record: without that record it runs again.
    """
    fields = dict(job.fields)
    if "status" not in changed:  # written by an earlier build
        return fields
    status = changed["status"].decode()
    if status not in CLIENT_STATUSES:
        return fields | ({"status": b"queued"} if job.status == "paused" else {})
    if job.status == "running":
        if status == "queued":
            return fields  # a rebuild queues it, as one whose newest ticks are not known
        fields["begun"] = b"1"
    fields = {name: value for name, value in fields.items() if name not in STATUS_FIELDS}
    return fields | {name: value for name, value in changed.items() if name in STATUS_FIELDS}
