"""What the service tells of itself to Prometheus, summed over all API processes. Names no job.

prometheus_client decides with its first import whether processes are summed, by an environment
variable that api/server.py sets: so it is imported when an app is made, not with this module.
"""

import os
from collections.abc import Iterator
from typing import Any

from jobs.census import ServiceCounts

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
FOLDER = "PROMETHEUS_MULTIPROC_DIR"
METHODS = frozenset({"GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS", "PUT"})
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """Counts this process's requests; tells those of all processes, and a census."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self._registry = ours = CollectorRegistry()
        self._requests = Counter(
            "tickforge_requests",
            "Requests answered.",
            ["endpoint", "method", "status"],
            registry=ours,
        )
        self._seconds = Histogram(
            "tickforge_request_seconds",
            "Seconds to an answer's first byte; a wait counts whole.",
            ["endpoint"],
            buckets=SECONDS,
            registry=ours,
        )
        self._held = Gauge(
            "tickforge_held_requests",
            "Waits and streams open now.",
            multiprocess_mode="livesum",
            registry=ours,
        )

    def answered(self, endpoint: str | None, method: str, status: int, seconds: float) -> None:
        """Count a request; `endpoint` is an operation's id, never a path."""
        name = endpoint or "none"
        self._requests.labels(name, method if method in METHODS else "other", str(status)).inc()
        self._seconds.labels(name).observe(seconds)

    def held(self, change: int) -> None:
        """Note that a wait or a stream was begun (1) or has ended (-1)."""
        self._held.inc(change)

    def text(self, census: ServiceCounts | None) -> bytes:
        """Return all of it as Prometheus reads it; without a census the store was away."""
        from prometheus_client import CollectorRegistry, generate_latest

        told = CollectorRegistry()
        told.register(self._all())
        told.register(_Told(census))
        return generate_latest(told)

    def _all(self) -> Any:
        """The processes' sum where they share a folder, else what this one counted."""
        if FOLDER not in os.environ:
            return self._registry
        from prometheus_client.multiprocess import MultiProcessCollector

        return MultiProcessCollector(None)  # type: ignore[no-untyped-call]


class _Told:
    """A collector of values that were read just now."""

    def __init__(self, census: ServiceCounts | None) -> None:
        self._census = census

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        census = self._census
        up = GaugeMetricFamily("tickforge_store_up", "1 if the store answered.")
        up.add_metric([], 0 if census is None else 1)
        yield up
        if census is None:
            return
        yield CounterMetricFamily("tickforge_ticks_accepted", "Ticks accepted.", census.ticks)
        for name, about, label, values in (
            ("tickforge_jobs", "Jobs there are.", "status", census.jobs),
            ("tickforge_queue_depth", "Jobs that wait.", "queue", census.queued),
            ("tickforge_workers", "Workers that live.", "queue", census.workers),
        ):
            family = GaugeMetricFamily(name, about, labels=[label])
            for value, number in sorted(values.items()):
                family.add_metric([value], number)
            yield family


def mark_dead(pid: int) -> None:
    """Forget what a process that has ended held open; what it counted stays."""
    if FOLDER in os.environ:
        from prometheus_client.multiprocess import mark_process_dead

        mark_process_dead(pid)  # type: ignore[no-untyped-call]
