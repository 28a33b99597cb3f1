"""The cost of checking an access key and counting its requests, against the admin key.

The admin key needs no store. Both run in one process, through the whole app but its socket; the log
is switched off.
"""

import statistics
from collections.abc import Callable
from functools import partial
from typing import Any

from api.app import create_app
from bench.lists import ADMIN_HEADERS, SPEC, api_environment
from bench.report import Figure
from bench.store_server import running_store, silence_logs
from bench.timing import measure_in_turn, time_call
from jobs.access_keys import AccessKeys
from jobs.files.artifacts import ArtifactStore
from jobs.settings import Settings


def measure(rounds: int) -> list[Figure]:
    """Time one look-up, and a status read with either key."""
    silence_logs()
    with running_store() as store:
        settings = Settings.from_env(api_environment(store))
        client = create_app(settings).test_client()
        job = client.post("/v1/jobs", json=SPEC, headers=ADMIN_HEADERS).get_json()["id"]
        body = {"tenant": "default", "scopes": ["read", "submit"]}
        secret = client.post("/v1/keys", json=body, headers=ADMIN_HEADERS).get_json()["secret"]
        user = {"Authorization": f"Bearer {secret}"}

        def status(headers: dict[str, str]) -> Callable[[], Any]:
            return lambda: client.get(f"/v1/jobs/{job}", headers=headers).data

        artifacts = ArtifactStore(settings.artifacts)
        counted = AccessKeys(store.client, artifacts, rate=1e6)
        plain = AccessKeys(store.client, artifacts)
        operations = {
            "ping, for comparison": store.client.ping,
            "a key known, not counted": lambda: plain.authenticate(secret),
            "a key known and counted": lambda: counted.authenticate(secret),
            "status read, admin key": status(ADMIN_HEADERS),
            "status read, stored key": status(user),
        }
        timers = {name: partial(time_call, operation) for name, operation in operations.items()}
        seconds = measure_in_turn(timers, rounds, warmup_rounds=50)
    # the deciles: the median stays, outliers at both ends go
    deciles = {name: statistics.quantiles(values, n=10) for name, values in seconds.items()}
    return [Figure(name, "ms", [1000 * value for value in deciles[name]]) for name in deciles]
