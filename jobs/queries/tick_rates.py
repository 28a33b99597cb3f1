"""The rates that workers measured, by the canary of their machine, so by equal processors.

They outlive a worker's restart. Of each machine the newest are kept, at most MAX_RATES.
"""

from collections.abc import Iterable
from typing import Any

from jobs.measured_rates import MeasuredRate, decode_rate
from jobs.queries.worker_registry import WorkerInfo
from jobs.store import keys
from jobs.store.connection import Store

MAX_RATES = 64  # of one canary
KEPT_SECONDS = 30 * 86_400


def record_rate(store: Store, canary: str, rate: MeasuredRate) -> None:
    """Record what a worker measured, in the place of its earlier measure of such a job."""
    key = keys.tick_rates(canary)
    with store.pipeline(transaction=False) as pipe:
        pipe.hset(key, f"{rate.engine} {rate.setting} {rate.shape}", rate.encode())
        pipe.expire(key, KEPT_SECONDS)
        pipe.hlen(key)
        count: int = pipe.execute()[-1]
    if count > MAX_RATES:
        _drop_oldest(store, key, count - MAX_RATES)


def read_rates(store: Store, workers: Iterable[WorkerInfo]) -> list[MeasuredRate]:
    """Read all that these workers, or others with their canaries, measured."""
    canaries = {worker.get("fingerprint", {}).get("canary") for worker in workers} - {None}
    with store.pipeline(transaction=False) as pipe:
        for canary in sorted(canaries):
            pipe.hvals(keys.tick_rates(canary))
        replies: list[list[bytes]] = pipe.execute()
    return [decode_rate(text) for reply in replies for text in reply]


def _drop_oldest(store: Store, key: str, count: int) -> None:
    measured: Any = store.hgetall(key)
    oldest = sorted(measured, key=lambda name: decode_rate(measured[name]).at_ms)
    store.hdel(key, *oldest[:count])
