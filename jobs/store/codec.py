"""Parses records of the store into Job, Attempt, Checkpoint and JobSpec. Sends no command."""

import json
import struct
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple, cast

from jobs.certificate import Certificate
from jobs.device_choice import ON_CPU, describe_device
from jobs.errors import UnsupportedSchema
from jobs.job import (
    QUESTION_KINDS,
    Attempt,
    BestValidation,
    Checkpoint,
    DatasetPredictions,
    Evaluation,
    Job,
    JobError,
    JobResult,
    QueuePosition,
    Status,
)
from jobs.spec.job_spec import JobSpec
from jobs.spec.spec_warnings import find_warnings
from jobs.spec.stored import parse_stored_spec
from jobs.timestamps import format_rfc3339
from jobs.values import finite_or_none

Record = Mapping[bytes, bytes]

#: the parts of a fingerprint that must be equal for ticks to be comparable
IDENTITY_FIELDS = ("engine", "torch", "canary", "device", "threads")
ANY_CANARY = "-"  # in a canary's place, where bits do not depend on it

SCHEMA_VERSION = "1"  # of a job's record, as in lua/prelude.lua
#: longer specs, with inline data, are parsed each time instead of cached
MAX_CACHED_SPEC_BYTES = 16_384
#: more than a page of a list has; a parsed spec takes 0.2 ms and some 11 KB
MAX_CACHED_SPECS = 128


def parse_spec(text: bytes) -> JobSpec:
    """Parse a stored spec."""
    is_short = len(text) <= MAX_CACHED_SPEC_BYTES
    return _parse_spec_cached(text) if is_short else parse_stored_spec(text)


_parse_spec_cached = lru_cache(maxsize=MAX_CACHED_SPECS)(parse_stored_spec)


def limit_cached_specs(count: int) -> None:
    """Keep fewer parsed specs in this process, one that reads a job at a time."""
    global _parse_spec_cached
    _parse_spec_cached = lru_cache(maxsize=count)(parse_stored_spec)


def parse_job(record: Record, queue_position: QueuePosition | None) -> Job:
    """Parse a job's hash; `queue_position` is needed while queued. Raises UnsupportedSchema."""
    fields = _Fields(record)
    if fields.text("schema") != SCHEMA_VERSION:
        raise UnsupportedSchema(fields.text("id"))
    spec = parse_spec(record[b"spec"])
    span = _span(fields, spec)
    status = cast(Status, fields.text("status"))
    tick, elapsed = fields.integer("tick"), float(fields.text("elapsed") or 0)
    rate = _rate(fields if status == "running" else None, span, tick, elapsed)
    latest_checkpoint = record.get(b"latest_checkpoint")
    job = Job(
        tenant=fields.text("tenant") or "",
        id=fields.text("id") or "",
        kind=fields.text("kind") or "train",
        name=fields.text("name") or "",
        labels=fields.json("labels") or {},
        notes=fields.text("notes") or "",
        priority=fields.integer("priority"),
        status=status,
        **fields.texts("requested", "stopped_by", "engine", "device", "worker", "parent"),
        phase=fields.text("phase") if status == "running" else None,
        tick=tick,
        ticks_total=span.end,
        first_tick=fields.integer("origin") + 1,
        lineage=fields.json("lineage") or [],
        progress=1.0 if status == "succeeded" else _progress(span, tick, elapsed),
        epoch=tick / spec.ticks_per_epoch,
        skipped=fields.integer("skipped") if fields.text("skipped") else None,
        loss=decode_loss(record.get(b"loss")),
        best=_validate_or_none(BestValidation, fields.json("best")),
        metrics=fields.json("metrics") or {},
        ticks_per_second=rate,
        elapsed_seconds=elapsed,
        eta_seconds=_eta(span, tick, elapsed, rate) if status == "running" else None,
        queue=queue_position if status == "queued" else None,
        bytes=_file_bytes(fields),
        attempt=fields.integer("attempt"),
        error=_validate_or_none(JobError, fields.json("error")),
        result=_result(fields),
        created_at=fields.time("created_ms") or "",
        started_at=fields.time("started_ms"),
        finished_at=fields.time("finished_ms"),
        device_choice=describe_device(spec),
        fingerprint=fields.json("fingerprint") or {},
        exact=fields.text("exact") != "0",
        inexact_from=fields.integer("inexact_from") or None,
        inexact_upto=fields.integer("inexact_upto"),
        sequence=fields.integer("seq"),
        latest_checkpoint=None if latest_checkpoint is None else int(latest_checkpoint),
        warnings=find_warnings(spec),
        spec=spec,
    )
    return _as_question(job, fields) if job.kind in QUESTION_KINDS else job


def parse_attempt(record: Record) -> Attempt:
    """Parse an attempt's hash."""
    fields = _Fields(record)
    counts = ("number", "first_tick", "last_tick", "replayed", "compared")
    integers: dict[str, Any] = {name: fields.integer(name) for name in counts}
    return Attempt(
        **integers,
        **fields.texts("device", "engine", "outcome"),
        worker=fields.text("worker") or "",
        fingerprint=fields.json("fingerprint") or {},
        digests_compared=fields.integer("digests"),
        equal=False if fields.text("diverged") else (True if integers["compared"] else None),
        started_at=fields.time("started_ms") or "",
        ended_at=fields.time("ended_ms"),
    )


def parse_checkpoint(text: bytes) -> Checkpoint:
    """Parse a committed checkpoint."""
    return Checkpoint.model_validate_json(text)


def encode_checkpoint(checkpoint: Checkpoint) -> str:
    """Encode a checkpoint for the store, with the fields that clients do not see."""
    names = ("folder", "periodic", "state", "term", "shared_bytes")
    hidden = {name: getattr(checkpoint, name) for name in names}
    return json.dumps({**checkpoint.model_dump(mode="json"), **hidden})


def encode_identity(fingerprint: Mapping[str, Any], *, is_portable: bool) -> str:
    """Encode a job's identity; that of a portable engine is equal on machines of any canary."""
    parts = {**fingerprint, "canary": ANY_CANARY} if is_portable else fingerprint
    return " ".join(str(parts[part]) for part in IDENTITY_FIELDS)


def decode_loss(bits: bytes | None) -> float | None:
    """Return the loss of four bytes (float32, little-endian); None if absent or not finite."""
    return finite_or_none(struct.unpack("<f", bits)[0]) if bits else None


class _Fields:
    """The fields of a hash by type; an absent one is None, or 0 as an integer."""

    def __init__(self, record: Record) -> None:
        self._record = record

    def text(self, name: str) -> str | None:
        return (self._record.get(name.encode()) or b"").decode() or None

    def texts(self, *names: str) -> dict[str, Any]:
        return {name: self.text(name) for name in names}

    def integer(self, name: str) -> int:
        return int(self._record.get(name.encode()) or 0)

    def json(self, name: str) -> Any:
        text = self._record.get(name.encode())
        return None if not text else json.loads(text)

    def time(self, name: str) -> str | None:
        text = self.text(name)
        return None if text is None else format_rfc3339(int(float(text)))


def _as_question(job: Job, fields: _Fields) -> Job:
    """Return a job that asks a net about a dataset: it has the spec of its parent, but no tick.

    Earlier builds recorded neither its time nor what was done.
    """
    elapsed, times = job.elapsed_seconds, ("started_ms", "finished_ms")
    if fields.text("elapsed") is None and job.is_terminal:
        started, finished = (float(fields.text(name) or 0) for name in times)
        elapsed = max(0.0, finished - started) / 1000 if started else 0.0
    share = fields.integer("rows_done") / max(1, fields.integer("rows_total"))
    own: dict[str, Any] = {
        "dataset": (fields.json("question") or {}).get("dataset"),
        "first_tick": 0,
        "epoch": 0.0,
        "progress": job.progress if job.status == "succeeded" else min(share, 1.0),
        "elapsed_seconds": elapsed,
        "device": "cpu" if job.started_at else None,
        "device_choice": ON_CPU,
        "warnings": [],
    }
    return job.model_copy(update=own)


def _file_bytes(fields: _Fields) -> int:
    in_checkpoints = fields.integer("checkpoint_bytes") + fields.integer("code_bytes")
    return in_checkpoints + fields.integer("history_bytes") + fields.integer("init_bytes")


def _validate_or_none(model: Any, value: Any) -> Any:
    return None if value is None else model.model_validate(value)


class _Span(NamedTuple):
    """A job's budget: the ticks after `start` up to `end`, or `seconds` of training."""

    start: int
    end: int | None
    seconds: float | None


def _span(fields: _Fields, spec: JobSpec) -> _Span:
    if fields.text("kind") == "verify":
        return _Span(fields.integer("origin"), fields.integer("ticks_total"), None)
    if fields.text("kind") in QUESTION_KINDS:
        return _Span(fields.integer("origin"), None, None)
    return _Span(0, spec.ticks_total, spec.budget.seconds)


def _result(fields: _Fields) -> JobResult | None:
    """Parse a result; the times of a verify's certificate are those of the job."""
    if (result := fields.json("result")) is None:
        return None
    if (kind := fields.text("kind")) in QUESTION_KINDS:
        return (DatasetPredictions if kind == "predict" else Evaluation).model_validate(result)
    times = {"started_at": fields.time("started_ms"), "finished_at": fields.time("finished_ms")}
    return Certificate.model_validate({**result, **times})


def _progress(span: _Span, tick: int, elapsed: float) -> float:
    """Return the share done, 0 to 1, of the budget that is nearest to its end."""
    by_ticks = (tick - span.start) / (span.end - span.start) if span.end else 0.0
    by_time = elapsed / span.seconds if span.seconds else 0.0
    return min(1.0, max(by_ticks, by_time))


def _rate(fields: _Fields | None, span: _Span, tick: int, elapsed: float) -> float | None:
    """Return ticks per second since the older mark; without one, since the start."""
    mark = ((fields and fields.text("rate_from")) or f"{span.start} 0").split(" ")
    since = elapsed - float(mark[1])
    return (tick - int(mark[0])) / since if since > 0 and tick > int(mark[0]) else None


def _eta(span: _Span, tick: int, elapsed: float, rate: float | None) -> float | None:
    remaining = []
    if span.end is not None and rate:
        remaining.append((span.end - tick) / rate)
    if span.seconds is not None:
        remaining.append(max(0.0, span.seconds - elapsed))
    return min(remaining, default=None)
