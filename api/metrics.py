"""Prometheus metrics, summed over all API processes. Names no job.

prometheus_client reads at its first import, from an environment variable that api/server.py sets,
whether there are several processes. So it is imported when an app is created, not with this module.
"""

import math
import os
from collections.abc import Iterator
from typing import Any

from jobs.queries.counts import ServiceCounts

METRICS_MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MULTIPROCESS_FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
METHODS = frozenset({"GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS", "PUT"})
LATENCY_BUCKETS_SECONDS = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30,
)  # fmt: skip


def preload() -> None:
    """Import prometheus_client for a process that will set the folder's variable before it counts.

    Which folder it is, is read later, when the first value is made.
    """
    os.environ[MULTIPROCESS_FOLDER_VARIABLE] = os.devnull
    try:
        import prometheus_client.core
        import prometheus_client.multiprocess  # noqa: F401
    finally:
        del os.environ[MULTIPROCESS_FOLDER_VARIABLE]


class Metrics:
    """Counts this process's requests; renders the sum over all processes."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self._registry = registry = CollectorRegistry()
        labels = ["endpoint", "method", "status"]
        self._requests = Counter(
            "tickforge_requests", "Requests answered.", labels, registry=registry
        )
        self._request_seconds = Histogram(
            "tickforge_request_seconds",
            "Seconds to an answer's first byte; a wait counts whole.",
            ["endpoint"],
            buckets=LATENCY_BUCKETS_SECONDS,
            registry=registry,
        )
        self._held_requests = Gauge(
            "tickforge_held_requests",
            "Waits and streams open now.",
            multiprocess_mode="livesum",
            registry=registry,
        )

    def observe_request(
        self, endpoint: str | None, method: str, status: int, seconds: float
    ) -> None:
        """Count a request. `endpoint` is an operation's id; a path would give too many labels."""
        name = endpoint or "none"
        self._requests.labels(name, method if method in METHODS else "other", str(status)).inc()
        self._request_seconds.labels(name).observe(seconds)

    def track_held(self, change: int) -> None:
        """Count a long poll or stream that began (1) or ended (-1)."""
        self._held_requests.inc(change)

    def render(self, counts: ServiceCounts | None) -> bytes:
        """Return the text that Prometheus scrapes; without `counts` the store is reported down."""
        from prometheus_client import CollectorRegistry, generate_latest

        registry = CollectorRegistry()
        registry.register(self._process_collector())
        registry.register(_StoreCollector(counts))
        return generate_latest(registry)

    def _process_collector(self) -> Any:
        """Collect the sum over the processes that share a folder, else this process alone."""
        if MULTIPROCESS_FOLDER_VARIABLE not in os.environ:
            return self._registry
        from prometheus_client.multiprocess import MultiProcessCollector

        return MultiProcessCollector(None)  # type: ignore[no-untyped-call]


class _StoreCollector:
    """Collects the counts just read from the store."""

    def __init__(self, counts: ServiceCounts | None) -> None:
        self._counts = counts

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        counts = self._counts
        up = GaugeMetricFamily("tickforge_store_up", "1 if the store answered.")
        up.add_metric([], 0 if counts is None else 1)
        yield up
        if counts is None:
            return
        yield CounterMetricFamily("tickforge_ticks_accepted", "Ticks accepted.", counts.ticks)
        for name, description, label, values in (
            ("tickforge_jobs", "Jobs there are.", "status", counts.jobs),
            ("tickforge_queue_depth", "Jobs that wait.", "queue", counts.queued),
            ("tickforge_workers", "Workers that live.", "queue", counts.workers),
        ):
            family = GaugeMetricFamily(name, description, labels=[label])
            for value, number in sorted(values.items()):
                family.add_metric([value], number)
            yield family
        description = "Calls of webhooks, and events that were dropped, since no worker sent them."
        outcomes = CounterMetricFamily("tickforge_webhook_calls", description, labels=["outcome"])
        for outcome, number in sorted(counts.webhook_outcomes.items()):
            outcomes.add_metric([outcome], number)
        yield outcomes
        gpu_labels = ["worker", "gpu", "usable"]
        description = "Memory of a worker's GPU; usable: whether the worker can compute on it."
        memory = GaugeMetricFamily("tickforge_gpu_memory_bytes", description, labels=gpu_labels)
        for gpu in counts.gpus:
            labels = [gpu.worker, gpu.name, str(gpu.is_usable).lower()]
            memory.add_metric(labels, math.nan if gpu.memory_bytes is None else gpu.memory_bytes)
        yield memory


def forget_process(pid: int) -> None:
    """Drop the gauges of a process that has ended; its counters stay."""
    if MULTIPROCESS_FOLDER_VARIABLE in os.environ:
        from prometheus_client.multiprocess import mark_process_dead

        mark_process_dead(pid)  # type: ignore[no-untyped-call]
