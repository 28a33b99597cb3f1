"""A predict of rows, inputs or a prompt as clients see it, and its record in the store.

An export's record is like it, of `kind` export; clients see what becomes of it as a file.

The fields of the hash, absent ones empty. Times are the store's, in ms.
  tenant, id, kind, name, parent, seq: as of a job; the parent is the job whose net answers
  tick: int: of the checkpoint that answers
  status: queued, running, succeeded, failed or cancelled
  requested: cancel, while it runs
  request: JSON: what is asked; until it has ended
  checkpoint: JSON: the checkpoint's record; until it has ended
  threads: int: CPU threads that the net computes on
  rank: int: score in the queue; attempt: int: claims so far
  owner: nonce of the last claim; worker: name of its worker
  ttl_ms: int: how long it is kept after it was asked for, claimed, or ended
  hold_ms: int: of an export: how long its checkpoint stays for the download, after its end
  idempotency_key: of its submission
  created_ms, started_ms, finished_ms: int
  result, error: JSON, once it has ended
Knows no command of the store.
"""

import json
from typing import Any

from pydantic import BaseModel, Field

from jobs.device_choice import ON_CPU
from jobs.job import JobDocument, JobError, QueuePosition
from jobs.store.codec import Record
from jobs.timestamps import format_rfc3339

NO_WORKER = "no live worker answers now: this one waits until a worker starts"


class Predictions(BaseModel):
    """What a net answers: one prediction for each row, or one for a prompt."""

    predictions: list[dict[str, Any]] = Field(
        description='each {"class", "probabilities"}, {"value"}, {"values"} or {"text"}'
    )


class Answer(JobDocument):
    """A predict that is kept for TICKFORGE_ANSWER_SECONDS, in the store alone.

    Its `tick` is that of the checkpoint that answers.
    """

    result: Predictions | None
    spec: None = None


def parse_answer(record: Record, queue: QueuePosition | None = None) -> Answer:
    """Parse an answer's hash; `queue` is its place, if it waits."""
    fields = {name.decode(): value.decode() for name, value in record.items()}
    status = fields["status"]
    times = {name: _time(fields, f"{name}_ms") for name in ("created", "started", "finished")}
    seconds = int(fields.get("finished_ms", 0)) - int(fields.get("started_ms", 0))
    return Answer(
        **{name: fields[name] for name in ("tenant", "id", "kind", "name", "parent")},
        status=status,
        requested="cancel" if "requested" in fields else None,
        tick=int(fields["tick"]),
        sequence=int(fields["seq"]),
        progress=1.0 if status == "succeeded" else 0.0,
        elapsed_seconds=max(0, seconds) / 1000,
        queue=queue if status == "queued" else None,
        attempt=int(fields["attempt"]),
        error=_parse_error(fields),
        result=_parse_result(fields),
        created_at=times["created"] or "",
        started_at=times["started"],
        finished_at=times["finished"],
        device="cpu" if "worker" in fields else None,
        device_choice=ON_CPU,
        worker=fields.get("worker") if status == "running" else None,
        warnings=[NO_WORKER] if queue is not None and queue.reason == "no_worker" else [],
        **NOTHING,
    )


#: what an answer has none of
NOTHING: dict[str, Any] = {
    "labels": {}, "notes": "", "priority": 0, "phase": None, "ticks_total": None, "first_tick": 0,
    "epoch": 0.0, "loss": None, "best": None, "metrics": {}, "ticks_per_second": None,
    "eta_seconds": None, "bytes": 0, "stopped_by": None, "engine": None, "fingerprint": {},
    "exact": True, "inexact_from": None, "latest_checkpoint": None,
}  # fmt: skip


def _time(fields: dict[str, str], name: str) -> str | None:
    return format_rfc3339(int(float(fields[name]))) if name in fields else None


def _parse_error(fields: dict[str, str]) -> JobError | None:
    return JobError.model_validate_json(fields["error"]) if "error" in fields else None


def _parse_result(fields: dict[str, str]) -> Predictions | None:
    if "result" not in fields:
        return None
    return Predictions.model_construct(predictions=json.loads(fields["result"])["predictions"])
