"""Between records in the store and values: Job, Checkpoint, Attempt, JobSpec. Sends no command."""

import json
import math
import struct
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, cast

from jobs.job import Attempt, Best, Checkpoint, Job, JobError, Place, Status
from jobs.spec.job_spec import JobSpec

Record = Mapping[bytes, bytes]

#: a longer spec (inline data) is read anew each time rather than kept in memory
LONGEST_KEPT = 16_384  # bytes


def read_spec(text: bytes) -> JobSpec:
    """Read a stored spec."""
    return _kept_spec(text) if len(text) <= LONGEST_KEPT else JobSpec.model_validate_json(text)


@lru_cache(maxsize=512)
def _kept_spec(text: bytes) -> JobSpec:
    return JobSpec.model_validate_json(text)


def read_job(record: Record, place: Place | None) -> Job:
    """Make the Job of a whole record; `place` where it is queued."""
    told = _Told(record)
    spec = read_spec(record[b"spec"])
    status = cast(Status, told.text("status"))
    tick, elapsed = told.whole("tick"), float(told.text("elapsed") or 0)
    rate = _rate(told if status == "running" else None, tick, elapsed)
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
        ticks_total=spec.ticks_total,
        first_tick=1,
        progress=_progress(spec, tick, elapsed),
        epoch=tick / spec.ticks_per_epoch,
        loss=loss_of(record.get(b"loss")),
        best=_model(Best, told.json("best")),
        metrics=told.json("metrics") or {},
        ticks_per_second=rate,
        elapsed_seconds=elapsed,
        eta_seconds=_eta(spec, tick, elapsed, rate) if status == "running" else None,
        queue=place if status == "queued" else None,
        bytes=told.whole("checkpoint_bytes") + told.whole("history_bytes"),
        attempt=told.whole("attempt"),
        stopped_by=cast(Any, told.text("stopped_by")),
        error=_model(JobError, told.json("error")),
        result=None,
        created_at=told.time("created_ms") or "",
        started_at=told.time("started_ms"),
        finished_at=told.time("finished_ms"),
        engine=told.text("engine"),
        device=told.text("device"),
        fingerprint=told.json("fingerprint") or {},
        exact=told.text("exact") != "0",
        inexact_from=told.whole("inexact_from") or None,
        worker=told.text("worker"),
        parent=told.text("parent"),
        latest_checkpoint=_maybe(record.get(b"latest_checkpoint")),
        spec=spec,
    )


def read_attempt(record: Record) -> Attempt:
    """Make the Attempt of a whole record."""
    told = _Told(record)
    replayed = told.whole("replayed")
    return Attempt(
        number=told.whole("number"),
        worker=told.text("worker") or "",
        device=told.text("device"),
        engine=told.text("engine"),
        fingerprint=told.json("fingerprint") or {},
        first_tick=told.whole("first_tick"),
        last_tick=told.whole("last_tick"),
        replayed=replayed,
        equal=False if told.text("diverged") else (True if replayed else None),
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


def _progress(spec: JobSpec, tick: int, elapsed: float) -> float:
    """By whichever budget is nearest its end."""
    by_ticks = tick / spec.ticks_total if spec.ticks_total else 0.0
    by_time = elapsed / spec.budget.seconds if spec.budget.seconds else 0.0
    return min(1.0, max(by_ticks, by_time))


def _rate(told: _Told | None, tick: int, elapsed: float) -> float | None:
    """Ticks per second since a mark some seconds of training ago; without one, over the whole."""
    mark = ((told and told.text("rate_from")) or "0 0").split(" ")
    since = elapsed - float(mark[1])
    return (tick - int(mark[0])) / since if since > 0 and tick > int(mark[0]) else None


def _eta(spec: JobSpec, tick: int, elapsed: float, rate: float | None) -> float | None:
    left = []
    if spec.ticks_total is not None and rate:
        left.append((spec.ticks_total - tick) / rate)
    if spec.budget.seconds is not None:
        left.append(max(0.0, spec.budget.seconds - elapsed))
    return min(left, default=None)
