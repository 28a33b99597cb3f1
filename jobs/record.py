"""Between records in the store and values: Job, Checkpoint, Attempt, JobSpec. Sends no command."""

import json
import math
import struct
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple, cast

from jobs.certificate import Certificate
from jobs.errors import NewerRecord
from jobs.job import Attempt, Best, Checkpoint, Job, JobError, Place, Status
from jobs.spec.job_spec import JobSpec

Record = Mapping[bytes, bytes]

SCHEMA = "1"  # of a job's record; lua/prelude.lua refuses others too
#: a longer spec (inline data) is read anew each time rather than kept in memory
LONGEST_KEPT = 16_384  # bytes


def read_spec(text: bytes) -> JobSpec:
    """Read a stored spec."""
    return _kept_spec(text) if len(text) <= LONGEST_KEPT else JobSpec.model_validate_json(text)


@lru_cache(maxsize=512)
def _kept_spec(text: bytes) -> JobSpec:
    return JobSpec.model_validate_json(text)


def read_job(record: Record, place: Place | None) -> Job:
    """Make the Job of a whole record; `place` where it is queued. Raises NewerRecord."""
    told = _Told(record)
    if told.text("schema") != SCHEMA:
        raise NewerRecord(told.text("id"))
    spec = read_spec(record[b"spec"])
    span = _span(told, spec)
    status = cast(Status, told.text("status"))
    tick, elapsed = told.whole("tick"), float(told.text("elapsed") or 0)
    rate = _rate(told if status == "running" else None, span, tick, elapsed)
    return Job(
        tenant=told.text("tenant") or "",
        id=told.text("id") or "",
        kind=told.text("kind") or "train",
        name=told.text("name") or "",
        labels=told.json("labels") or {},
        notes=told.text("notes") or "",
        priority=told.whole("priority"),
        status=status,
        requested=cast(Any, told.text("requested")),
        phase=told.text("phase") if status == "running" else None,
        tick=tick,
        ticks_total=span.end,
        first_tick=span.start + 1,
        progress=_progress(span, tick, elapsed),
        epoch=tick / spec.ticks_per_epoch,
        loss=loss_of(record.get(b"loss")),
        best=_model(Best, told.json("best")),
        metrics=told.json("metrics") or {},
        ticks_per_second=rate,
        elapsed_seconds=elapsed,
        eta_seconds=_eta(span, tick, elapsed, rate) if status == "running" else None,
        queue=place if status == "queued" else None,
        bytes=told.whole("checkpoint_bytes") + told.whole("history_bytes"),
        attempt=told.whole("attempt"),
        stopped_by=cast(Any, told.text("stopped_by")),
        error=_model(JobError, told.json("error")),
        result=_result(told),
        created_at=told.time("created_ms") or "",
        started_at=told.time("started_ms"),
        finished_at=told.time("finished_ms"),
        engine=told.text("engine"),
        device=told.text("device"),
        fingerprint=told.json("fingerprint") or {},
        exact=told.text("exact") != "0",
        inexact_from=told.whole("inexact_from") or None,
        inexact_upto=told.whole("inexact_upto"),
        worker=told.text("worker"),
        parent=told.text("parent"),
        latest_checkpoint=_maybe(record.get(b"latest_checkpoint")),
        spec=spec,
    )


def read_attempt(record: Record) -> Attempt:
    """Make the Attempt of a whole record."""
    told = _Told(record)
    compared = told.whole("compared")
    return Attempt(
        number=told.whole("number"),
        worker=told.text("worker") or "",
        device=told.text("device"),
        engine=told.text("engine"),
        fingerprint=told.json("fingerprint") or {},
        first_tick=told.whole("first_tick"),
        last_tick=told.whole("last_tick"),
        replayed=told.whole("replayed"),
        compared=compared,
        digests_compared=told.whole("digests"),
        equal=False if told.text("diverged") else (True if compared else None),
        started_at=told.time("started_ms") or "",
        ended_at=told.time("ended_ms"),
        outcome=told.text("outcome"),
    )


def read_checkpoint(text: bytes) -> Checkpoint:
    """Read a committed checkpoint."""
    return Checkpoint.model_validate_json(text)


def write_checkpoint(checkpoint: Checkpoint) -> str:
    """Spell a checkpoint for the store, with what clients do not see."""
    seen = checkpoint.model_dump(mode="json")
    hidden = {name: getattr(checkpoint, name) for name in ("folder", "periodic", "state", "term")}
    return json.dumps({**seen, **hidden})


def rfc3339(ms: int) -> str:
    """Spell a server time in ms: UTC with milliseconds."""
    spelled = datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")
    return spelled.replace("+00:00", "Z")


def loss_of(bits: bytes | None) -> float | None:
    """Read a loss's four bytes; None for none, and where it is not finite."""
    if not bits:
        return None
    (value,) = struct.unpack("<f", bits)
    return value if math.isfinite(value) else None


class _Told:
    """A record's fields by their type; an absent one is None (0 as a whole number)."""

    def __init__(self, record: Record) -> None:
        self._record = record

    def text(self, name: str) -> str | None:
        value = self._record.get(name.encode())
        return None if value is None or value == b"" else value.decode()

    def whole(self, name: str) -> int:
        return int(self._record.get(name.encode()) or 0)

    def json(self, name: str) -> Any:
        text = self._record.get(name.encode())
        return None if not text else json.loads(text)

    def time(self, name: str) -> str | None:
        text = self.text(name)
        return None if text is None else rfc3339(int(float(text)))


def _maybe(text: bytes | None) -> int | None:
    return None if text is None else int(text)


def _model(kind: Any, value: Any) -> Any:
    return None if value is None else kind.model_validate(value)


class _Span(NamedTuple):
    """What a job has to go through: the ticks after `start` up to `end`, or so many seconds."""

    start: int
    end: int | None
    seconds: float | None


def _span(told: _Told, spec: JobSpec) -> _Span:
    if told.text("kind") == "verify":
        return _Span(told.whole("origin"), told.whole("ticks_total"), None)
    return _Span(0, spec.ticks_total, spec.budget.seconds)


def _result(told: _Told) -> Certificate | None:
    """Read a verify's certificate; when it was made is the server's to say."""
    result = told.json("result")
    if result is None:
        return None
    times = {"started_at": told.time("started_ms"), "finished_at": told.time("finished_ms")}
    return Certificate.model_validate({**result, **times})


def _progress(span: _Span, tick: int, elapsed: float) -> float:
    """By whichever budget is nearest its end."""
    by_ticks = (tick - span.start) / (span.end - span.start) if span.end else 0.0
    by_time = elapsed / span.seconds if span.seconds else 0.0
    return min(1.0, max(by_ticks, by_time))


def _rate(told: _Told | None, span: _Span, tick: int, elapsed: float) -> float | None:
    """Ticks per second since a mark some seconds of training ago; without one, over the whole."""
    mark = ((told and told.text("rate_from")) or f"{span.start} 0").split(" ")
    since = elapsed - float(mark[1])
    return (tick - int(mark[0])) / since if since > 0 and tick > int(mark[0]) else None


def _eta(span: _Span, tick: int, elapsed: float, rate: float | None) -> float | None:
    left = []
    if span.end is not None and rate:
        left.append((span.end - tick) / rate)
    if span.seconds is not None:
        left.append(max(0.0, span.seconds - elapsed))
    return min(left, default=None)
