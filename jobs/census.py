"""How many of what there is now, for whoever watches the service. Names no job."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import redis

from jobs import keys, presence
from jobs.job import STATUSES


@dataclass(frozen=True)
class Census:
    """Jobs by status, queued jobs and live workers by queue, ticks accepted so far."""

    jobs: dict[str, int]
    queued: dict[str, int]
    workers: dict[str, int]
    ticks: int


def count(store: "redis.Redis", tenant: str | None) -> Census:
    """Count the jobs of a tenant, or of all; queues, workers and ticks are everybody's."""
    queues = sorted(_names(store, keys.QUEUES))
    tenants = [tenant] if tenant is not None else sorted(_names(store, keys.TENANTS))
    with store.pipeline(transaction=False) as pipe:
        pipe.get(keys.TICKS)
        for queue in queues:
            pipe.zcard(keys.queued(queue))
        for each in tenants:
            for status in STATUSES:
                pipe.zcard(keys.index(each, "status", status))
        ticks, *sizes = pipe.execute()
    waiting, by_status = sizes[: len(queues)], sizes[len(queues) :]
    return Census(
        jobs={status: sum(by_status[at :: len(STATUSES)]) for at, status in enumerate(STATUSES)},
        queued=dict(zip(queues, waiting, strict=True)),
        workers=dict(Counter(str(about.get("queue")) for about in presence.live(store))),
        ticks=int(ticks or 0),
    )


def _names(store: "redis.Redis", name: str) -> set[str]:
    members: Any = store.smembers(name)
    return {member.decode() for member in members}
