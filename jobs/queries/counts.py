"""Counts of jobs, workers and ticks, for monitoring. Names no job."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from jobs.job import STATUSES
from jobs.queries import worker_registry
from jobs.store import keys
from jobs.store.connection import Store


@dataclass(frozen=True)
class GpuCount:
    """A live worker's GPU: its name, its memory if known, and whether the worker can use it."""

    worker: str
    name: str
    memory_bytes: int | None
    is_usable: bool


@dataclass(frozen=True)
class ServiceCounts:
    """Jobs by status, queued jobs and live workers by queue, accepted ticks, GPUs of workers.

    Workers that cannot use their device are not counted.
    """

    jobs: dict[str, int]
    queued: dict[str, int]
    workers: dict[str, int]
    ticks: int
    gpus: list[GpuCount]
    webhook_outcomes: dict[str, int]  # delivered, retried, failed, dropped; event_dropped


def has_queued_jobs(store: Store, queue: str) -> bool:
    """Return whether any job waits in a queue."""
    return bool(store.exists(keys.queued_jobs(queue)))


def count_all(store: Store, tenant: str | None) -> ServiceCounts:
    """Count the jobs of one tenant, or of all; the other counts are over all tenants."""
    queues = sorted(_set_members(store, keys.QUEUES))
    tenants = [tenant] if tenant is not None else sorted(_set_members(store, keys.TENANTS))
    with store.pipeline(transaction=False) as pipe:
        pipe.get(keys.TICKS)
        pipe.hgetall(keys.WEBHOOK_OUTCOMES)
        for queue in queues:
            pipe.zcard(keys.queued_jobs(queue))
        for tenant_name in tenants:
            for status in STATUSES:
                pipe.zcard(keys.job_index(tenant_name, "status", status))
        ticks, outcomes, *sizes = pipe.execute()
    queue_sizes, status_counts = sizes[: len(queues)], sizes[len(queues) :]
    live_workers = worker_registry.live_workers(store)
    usable_workers = worker_registry.usable_workers(live_workers)
    workers = Counter(str(worker.get("queue")) for worker in usable_workers)
    return ServiceCounts(
        jobs={status: sum(status_counts[i :: len(STATUSES)]) for i, status in enumerate(STATUSES)},
        queued=dict(zip(queues, queue_sizes, strict=True)),
        workers=dict(workers),
        ticks=int(ticks or 0),
        webhook_outcomes={name.decode(): int(count) for name, count in outcomes.items()},
        gpus=[
            GpuCount(
                worker["name"], worker["gpu"]["name"], worker["gpu"]["memory_bytes"],
                worker in usable_workers,
            )
            for worker in live_workers
            if worker.get("gpu")
        ],
    )  # fmt: skip


def _set_members(store: Store, key: str) -> set[str]:
    members: Any = store.smembers(key)
    return {member.decode() for member in members}
