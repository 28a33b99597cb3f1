"""What knowing a key and counting its requests costs: against the admin key, which asks no store.

Side by side in one process, through the whole app but its socket; the log is switched off.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

from api.app import create_app
from bench.lists import KEY, SPEC, settings
from bench.report import Figure
from bench.stores import quiet, running_store
from jobs.access_keys import AccessKeys

SCOPES = ["read", "submit"]


def measure(rounds: int) -> list[Figure]:
    """Time one look-up, and a status read with either key."""
    quiet()
    with running_store() as store:
        client = create_app(settings(store)).test_client()
        admin = {"Authorization": f"Bearer {KEY}"}
        job = client.post("/v1/jobs", json=SPEC, headers=admin).get_json()["id"]
        body = {"tenant": "default", "scopes": SCOPES}
        secret = client.post("/v1/keys", json=body, headers=admin).get_json()["secret"]
        user = {"Authorization": f"Bearer {secret}"}

        def status(who: dict[str, str]) -> Callable[[], Any]:
            return lambda: client.get(f"/v1/jobs/{job}", headers=who).data

        counted, plain = AccessKeys(store.client, rate=1e6), AccessKeys(store.client)
        works = {
            "ping, for comparison": store.client.ping,
            "a key known, not counted": lambda: plain.authenticate(secret),
            "a key known and counted": lambda: counted.authenticate(secret),
            "status read, admin key": status(admin),
            "status read, stored key": status(user),
        }
        found: dict[str, list[float]] = {name: [] for name in works}
        for turn in range(rounds + 50):
            for name, work in works.items():
                began = time.perf_counter()
                work()
                if turn >= 50:
                    found[name].append(1000 * (time.perf_counter() - began))
    return [Figure(name, "ms", _deciles(values)) for name, values in found.items()]


def _deciles(values: list[float]) -> list[float]:
    """The first to the ninth tenth: the median stays, chance at both ends goes."""
    return statistics.quantiles(values, n=10)
