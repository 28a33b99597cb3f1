"""Workers that live: what each last announced, until when it counts. Knows no job's record."""

import json
from typing import Any

import redis

from jobs import keys

About = dict[str, Any]  # name, device, queue, job, tenant, engines, versions, memory_bytes, …


def announce(store: "redis.Redis", name: str, about: About, seconds: float) -> None:
    """Say that a worker lives, for `seconds` from now by the server's clock."""
    until = _now_ms(store) + int(seconds * 1000)
    store.hset(keys.WORKERS, name, json.dumps({**about, "name": name, "until_ms": until}))


def withdraw(store: "redis.Redis", name: str) -> None:
    """Say that a worker has left."""
    store.hdel(keys.WORKERS, name)


def live(store: "redis.Redis") -> list[About]:
    """Return the workers that live now, by name; forget those long gone."""
    now = _now_ms(store)
    told: dict[bytes, bytes] = store.hgetall(keys.WORKERS)  # type: ignore[assignment]
    found = [json.loads(text) for _, text in sorted(told.items())]
    for old in [about["name"] for about in found if about["until_ms"] < now - 60_000]:
        store.hdel(keys.WORKERS, old)
    alive = [about for about in found if about["until_ms"] >= now]
    return [{key: about[key] for key in about if key != "until_ms"} for about in alive]


def seen_by(tenant: str | None, about: About) -> About:
    """What a tenant sees of a worker: another's job is no more than `busy`. None sees all."""
    seen = {**about, "busy": about.get("job") is not None}
    if tenant is None or about.get("tenant") == tenant:
        return seen
    hidden = {"job": None, "ticks_per_second": None} if seen["busy"] else {}
    return {name: value for name, value in {**seen, **hidden}.items() if name != "tenant"}


def _now_ms(store: "redis.Redis") -> int:
    seconds, micros = store.time()
    return int(seconds) * 1000 + int(micros) // 1000
