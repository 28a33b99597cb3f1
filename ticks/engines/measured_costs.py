"""What ticks cost here: the seconds of a tick by eager and by graph, as trials measured them.

One file in the user's cache folder, of the newest MAX_RECORDS. It decides how soon a job's ticks
are computed, never their bits, so a lost or damaged file costs time alone.
"""

import contextlib
import hashlib
import json
import statistics
from pathlib import Path
from typing import NamedTuple

from jobs.spec.engines import TickCosts, estimate_costs
from jobs.spec.job_spec import JobSpec
from ticks.engines.graph import build_loop

MAX_RECORDS = 256
#: from so many records on, estimates for other specs are corrected by their medians
MIN_RECORDS = 5
FILE = "tick_costs.json"
#: the parts of a spec that decide what a tick computes
TICK_FIELDS = (
    "model", "objective", "class_weights", "label_smoothing", "optimizer", "batch_size",
    "micro_batches", "clip_norm", "compute", "record",
)  # fmt: skip


class _Record(NamedTuple):
    """Seconds of a tick as measured, and how many times the estimates these are."""

    eager: float
    graph: float
    eager_ratio: float
    graph_ratio: float
    is_proven: bool


class MeasuredCosts:
    """The records of one cache folder."""

    def __init__(self, folder: Path | None = None) -> None:
        self._path = (folder or build_loop.default_folder()) / FILE
        self._records = self._read()

    def find(self, spec: JobSpec) -> TickCosts | None:
        """Return the costs of a spec's tick as measured, or estimated by those of other specs."""
        record = self._records.get(_key(spec))
        if record is not None:
            return TickCosts(record.eager, record.graph, record.is_proven)
        if len(self._records) < MIN_RECORDS:
            return None
        estimate, records = estimate_costs(spec), self._records.values()
        eager_ratio = statistics.median(record.eager_ratio for record in records)
        graph_ratio = statistics.median(record.graph_ratio for record in records)
        return TickCosts(estimate.eager * eager_ratio, estimate.graph * graph_ratio)

    def add(
        self, spec: JobSpec, eager_seconds: float, graph_seconds: float, *, is_proven: bool
    ) -> None:
        """Record the seconds of a spec's tick by both engines, and whether graph is proven."""
        estimate = estimate_costs(spec)
        self._records.pop(_key(spec), None)
        self._records[_key(spec)] = _Record(
            eager_seconds, graph_seconds,
            eager_seconds / estimate.eager, graph_seconds / estimate.graph, is_proven,
        )  # fmt: skip
        self._write()

    def discard(self, spec: JobSpec) -> None:
        """Remove the record of a spec."""
        if self._records.pop(_key(spec), None) is not None:
            self._write()

    def _read(self) -> dict[str, _Record]:
        try:
            records = json.loads(self._path.read_text())
            return {
                key: _Record(float(eager), float(graph), float(first), float(second), bool(proven))
                for key, (eager, graph, first, second, proven) in records.items()
            }
        except (OSError, ValueError, TypeError, AttributeError):
            return {}

    def _write(self) -> None:
        newest = dict(list(self._records.items())[-MAX_RECORDS:])
        with contextlib.suppress(OSError):  # two processes at once: the last one's records stay
            self._path.write_text(json.dumps(newest))


def _key(spec: JobSpec) -> str:
    stored, profile = spec.to_stored(), spec.profile
    parts = [
        [stored.get(name) for name in TICK_FIELDS],
        profile.features,
        profile.outputs,
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]
