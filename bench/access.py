"""The cost of checking an access key and counting its requests, against the admin key.

The admin key needs no store. Both run in one process, through the whole app but its socket; the log
is switched off.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

from api.app import create_app
from bench.lists import KEY, SPEC, make_settings
from bench.report import Figure
from bench.store_server import running_store, silence_logs
from jobs.access_keys import AccessKeys

SCOPES = ["read", "submit"]


def measure(rounds: int) -> list[Figure]:
    """Time one look-up, and a status read with either key."""
    silence_logs()
    with running_store() as store:
        client = create_app(make_settings(store)).test_client()
        admin = {"Authorization": f"Bearer {KEY}"}
        job = client.post("/v1/jobs", json=SPEC, headers=admin).get_json()["id"]
        body = {"tenant": "default", "scopes": SCOPES}
        secret = client.post("/v1/keys", json=body, headers=admin).get_json()["secret"]
        user = {"Authorization": f"Bearer {secret}"}

        def status(headers: dict[str, str]) -> Callable[[], Any]:
            return lambda: client.get(f"/v1/jobs/{job}", headers=headers).data

        counted, plain = AccessKeys(store.client, rate=1e6), AccessKeys(store.client)
        operations = {
            "ping, for comparison": store.client.ping,
            "a key known, not counted": lambda: plain.authenticate(secret),
            "a key known and counted": lambda: counted.authenticate(secret),
            "status read, admin key": status(admin),
            "status read, stored key": status(user),
        }
        timings: dict[str, list[float]] = {name: [] for name in operations}
        for iteration in range(rounds + 50):
            for name, operation in operations.items():
                started = time.perf_counter()
                operation()
                if iteration >= 50:
                    timings[name].append(1000 * (time.perf_counter() - started))
    return [Figure(name, "ms", _deciles(values)) for name, values in timings.items()]


def _deciles(values: list[float]) -> list[float]:
    """Return the deciles: the median stays, outliers at both ends go."""
    return statistics.quantiles(values, n=10)
