"""The live workers and what each last announced. Knows no job's record."""

import json
from collections.abc import Sequence
from typing import Any

from jobs.store import keys
from jobs.store.connection import Store, read_clock_ms

#: name, device, gpu, device_error, queue, job, tenant, engines, versions, memory_bytes, …
WorkerInfo = dict[str, Any]


def register(store: Store, name: str, info: WorkerInfo, seconds: float) -> None:
    """Register a worker as live for `seconds` from now, by the store's clock."""
    until = read_clock_ms(store) + int(seconds * 1000)
    store.hset(keys.WORKERS, name, json.dumps({**info, "name": name, "until_ms": until}))


def deregister(store: Store, name: str) -> None:
    """Remove a worker that leaves."""
    store.hdel(keys.WORKERS, name)


def live_workers(store: Store) -> list[WorkerInfo]:
    """Return the live workers by name; remove those that expired a minute ago."""
    now = read_clock_ms(store)
    announced: dict[bytes, bytes] = store.hgetall(keys.WORKERS)  # type: ignore[assignment]
    workers = [json.loads(text) for _, text in sorted(announced.items())]
    for name in [worker["name"] for worker in workers if worker["until_ms"] < now - 60_000]:
        store.hdel(keys.WORKERS, name)
    alive = [worker for worker in workers if worker["until_ms"] >= now]
    return [{key: worker[key] for key in worker if key != "until_ms"} for worker in alive]


def usable_workers(workers: Sequence[WorkerInfo]) -> list[WorkerInfo]:
    """Return the workers that can take a job: torch can compute on their device."""
    return [worker for worker in workers if not worker.get("device_error")]


def redact_for(tenant: str | None, info: WorkerInfo) -> WorkerInfo:
    """Return what a tenant may see of a worker: of another tenant's job only `busy`.

    A `tenant` of None sees all.
    """
    visible = {**info, "busy": info.get("job") is not None}
    if tenant is None or info.get("tenant") == tenant:
        return visible
    hidden = {"job": None, "ticks_per_second": None} if visible["busy"] else {}
    return {name: value for name, value in {**visible, **hidden}.items() if name != "tenant"}
