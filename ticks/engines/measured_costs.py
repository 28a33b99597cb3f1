"""What ticks cost here: the seconds of a tick by eager and by graph, as trials measured them.

One file in the user's cache folder, of the newest MAX_RECORDS. It decides how soon a job's ticks
are computed, never their bits, so a lost or damaged file costs time alone. A record that no trial
can have written is left out.
"""

import contextlib
import hashlib
import json
import os
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jobs.spec.engines import TickCosts, estimate_costs
from jobs.spec.job_spec import JobSpec
from ticks.engines import object_cache
from ticks.engines.graph import build_loop

MAX_RECORDS = 256
#: from so many records on, estimates for other specs are corrected by their medians
MIN_RECORDS = 5
FILE = "tick_costs.json"
MAX_FILE_BYTES = 1 << 20  # of some 150 bytes a record
#: what the seconds of a tick may be, and how many times an estimate
MAX_PROGRAMS = 8  # of a record
MIN_VALUE, MAX_VALUE = 1e-9, 1e9
#: the parts of a spec that decide what a tick computes
TICK_FIELDS = (
    "model", "objective", "class_weights", "label_smoothing", "optimizer", "batch_size",
    "micro_batches", "clip_norm", "compute", "record",
)  # fmt: skip


class _Record(NamedTuple):
    """Seconds of a tick as measured, how many times the estimates these are, and proven programs.

    `programs`: the identities of all that a trial ran, where all are proven; else none.
    """

    eager: float
    graph: float
    eager_ratio: float
    graph_ratio: float
    programs: list[str]


class MeasuredCosts:
    """The records of one cache folder."""

    def __init__(self, folder: Path | None = None) -> None:
        self._path = (folder or build_loop.default_folder()) / FILE
        self._records = self._read()

    def find(self, spec: JobSpec) -> TickCosts | None:
        """Return the costs of a spec's tick as measured, or estimated by those of other specs."""
        record = self._records.get(_key(spec))
        if record is not None:
            return TickCosts(record.eager, record.graph, is_proven=bool(record.programs))
        if len(self._records) < MIN_RECORDS:
            return None
        estimate, records = estimate_costs(spec), self._records.values()
        eager_ratio = statistics.median(record.eager_ratio for record in records)
        graph_ratio = statistics.median(record.graph_ratio for record in records)
        return TickCosts(estimate.eager * eager_ratio, estimate.graph * graph_ratio)

    def add(
        self, spec: JobSpec, eager_seconds: float, graph_seconds: float, programs: Sequence[str]
    ) -> None:
        """Record the seconds of a spec's tick by both engines, and the programs that are proven.

        These are all of a trial of the spec, by their identities, or none.
        """
        estimate = estimate_costs(spec)
        self._records.pop(_key(spec), None)
        self._records[_key(spec)] = _Record(
            eager_seconds, graph_seconds,
            eager_seconds / estimate.eager, graph_seconds / estimate.graph,
            list(programs) if len(programs) <= MAX_PROGRAMS else [],
        )  # fmt: skip
        self._write()

    def find_programs(self, spec: JobSpec) -> list[str]:
        """Return the programs that an earlier trial of such a spec has proven."""
        record = self._records.get(_key(spec))
        return [] if record is None else record.programs

    def discard(self, spec: JobSpec) -> None:
        """Remove the record of a spec."""
        if self._records.pop(_key(spec), None) is not None:
            self._write()

    def _read(self) -> dict[str, _Record]:
        try:
            with object_cache.cache_folder(self._path.parent):
                if not self._path.is_file() or self._path.stat().st_size > MAX_FILE_BYTES:
                    return {}
                records = json.loads(self._path.read_bytes())
        except (object_cache.EngineUnavailable, ValueError, RecursionError):
            return {}
        items = records.items() if isinstance(records, dict) else ()
        return {key: record for key, values in items if (record := _parse_record(values))}

    def _write(self) -> None:
        """Replace the file as a whole; of two processes at once, the last one's records stay."""
        newest = dict(list(self._records.items())[-MAX_RECORDS:])
        unavailable = contextlib.suppress(object_cache.EngineUnavailable)
        with unavailable, object_cache.cache_folder(self._path.parent):
            draft = self._path.with_name(f"{FILE}-{os.getpid()}")
            draft.write_text(json.dumps(newest))
            draft.replace(self._path)


def _parse_record(values: Any) -> _Record | None:
    """Return a record of the file; None where it is none that a trial has written."""
    if not isinstance(values, list) or len(values) != len(_Record._fields):
        return None
    numbers, programs = values[:-1], values[-1]
    is_valid = all(type(n) is float and MIN_VALUE <= n <= MAX_VALUE for n in numbers)
    is_valid &= isinstance(programs, list) and all(isinstance(name, str) for name in programs)
    return _Record._make(values) if is_valid else None


def _key(spec: JobSpec) -> str:
    stored, profile = spec.to_stored(), spec.profile
    parts = [
        [stored.get(name) for name in TICK_FIELDS],
        profile.features,
        profile.outputs,
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]
