"""Lists among many jobs: the time of a page with 1,000 jobs and with 100,000 of one tenant.

Records are made through the ledger, as submissions are, with the store's fsync off meanwhile.
"""

import json
from collections.abc import Callable
from functools import partial

from api.app import create_app
from bench.report import Figure, ratio
from bench.store_server import RunningStore, running_store, silence_logs
from bench.timing import measure_in_turn, time_call
from jobs.ledger.client import JobLedger
from jobs.queries.jobs import Filter, JobQueries
from jobs.settings import Settings
from jobs.spec.reading import read_spec
from jobs.store.connection import Store

Request = Callable[[], object]
FEW, MANY = 1_000, 100_000
TENANT = "default"
KEY = "a-key-for-the-measurement-0123456789"
ADMIN_HEADERS = {"Authorization": f"Bearer {KEY}"}
SPEC = {
    "model": {"family": "mlp", "hidden": [8]},
    "data": {"source": "synthetic", "kind": "regression"},
    "budget": {"ticks": 100},
}
#: name -> what is asked for; one job of ten has the label, another is cancelled: pages are full
QUERIES: dict[str, list[Filter]] = {
    "newest 100": [],
    "100 by label": [("label", "team:few")],
    "100 by status": [("status", "cancelled")],
    "100 by label and status": [("label", "team:few"), ("status", "queued")],
    "one by name": [("name", "job-77")],
}


def measure(rounds: int) -> list[Figure]:
    """Time every kind of page in a small and in a large store, side by side."""
    silence_logs()
    with running_store() as small, running_store() as large:
        submit_jobs(small.client, FEW)
        submit_jobs(large.client, MANY)
        few, many = page_requests(small, FEW), page_requests(large, MANY)
        pages = [compare_sizes(name, few[name], many[name], rounds) for name in few]
    return [figure for figures in pages for figure in figures]


def compare_sizes(name: str, few: Request, many: Request, rounds: int) -> list[Figure]:
    """Time one page at both sizes, in turn."""
    timers = {"few": lambda: 1000 * time_call(few), "many": lambda: 1000 * time_call(many)}
    small, large = measure_in_turn(timers, rounds, warmup_rounds=1).values()
    return [
        Figure(f"{name}, {FEW:,} jobs", "ms", small),
        Figure(f"{name}, {MANY:,} jobs", "ms", large),
        ratio(f"{name}: ratio", large, small),
    ]


def page_requests(store: RunningStore, size: int) -> dict[str, Request]:
    """Return the pages to be timed: the first of each kind, one from the middle, one as JSON."""
    index = JobQueries(store.client)
    client = create_app(Settings.from_env(api_environment(store))).test_client()
    list_page = partial(index.list_jobs, TENANT, limit=100)
    return {
        **{name: partial(list_page, filters=filters) for name, filters in QUERIES.items()},
        "100 from the middle": partial(list_page, after=str(size // 2)),
        "GET /v1/jobs, newest 100": lambda: client.get("/v1/jobs", headers=ADMIN_HEADERS).data,
    }


def api_environment(store: RunningStore) -> dict[str, str]:
    """Return the settings of an API on this store."""
    return {
        "TICKFORGE_REDIS_URL": store.url,
        "TICKFORGE_DATA_DIR": str(store.folder / "data"),
        "TICKFORGE_ADMIN_KEY": KEY,
        "TICKFORGE_RATE_LIMIT": "0",
    }


def submit_jobs(store: Store, size: int) -> None:
    """Submit jobs, and cancel every tenth."""
    ledger = JobLedger(store)
    store.config_set("appendfsync", "no")
    store.config_set("auto-aof-rewrite-percentage", "0")  # no rewrite in a measurement's way
    for number in range(size):
        labels = {"team": "few" if number % 10 == 1 else "most", "run": str(number % 7)}
        body = json.loads(json.dumps({**SPEC, "name": f"job-{number}", "labels": labels}))
        job = ledger.submit(TENANT, read_spec(body, max_parameters=10**9)).job_id
        if number % 10 == 0:
            ledger.request_transition(TENANT, job, "cancel")
    store.config_set("appendfsync", "always")
