"""Fixtures over a real store. Each test that takes `store` begins with an empty one."""

import gc
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis
import structlog

from jobs import logs
from jobs.ledger.client import JobLedger
from jobs.ledger.owner import LeaseLedger
from jobs.queries.jobs import JobQueries
from jobs.settings import Settings
from jobs.store.connection import connect
from tests.manual_worker import ManualWorker
from tests.needs import require_gpu, require_program
from tests.support import ADMIN_KEY, running_store, settings_for, small_spec

#: begun first, the longest before the others: short ones then fill what is left of the time
LONGEST_FILES = (
    "test_faults_catalogue.py", "test_faults_recovery.py", "test_workers_engines.py",
    "test_faults_mutants.py", "test_workers_resume.py", "test_faults_demo_crash.py",
    "test_faults_every_tick.py", "test_workers_trainer_failures.py", "test_serving_serve.py",
    "test_workers_full_disk.py", "test_api_schemathesis.py", "test_jobs_rebuild.py",
    "test_workers_forks.py", "test_ticks_miscompiles.py", "test_workers_store_away.py",
    "test_ticks_native_sanitized.py", "test_ticks_native.py", "test_api_valid_specs.py",
    "test_faults_threads.py", "test_ticks_synthetic_text.py", "test_workers_background_saves.py",
    "test_ticks_exact_resume.py", "test_ticks_article.py", "test_serving_gpus.py",
)  # fmt: skip


def pytest_configure() -> None:
    """Give this process and its children the signals of a shell, also as a script's background job.

    Such a job inherits SIGINT and SIGQUIT ignored, and tests end processes with both. Bytecode is
    written, whatever an image sets: without it each of some hundred processes compiles our code.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)


def pytest_collection_finish() -> None:
    """Keep what is imported and collected out of later garbage collections, which it would slow."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first; none of them is then alone at the end of a parallel run."""
    order = {name: place for place, name in enumerate(LONGEST_FILES)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip or fail a test whose programs are missing, and skip one that needs a GPU."""
    for mark in item.iter_markers("needs"):
        for program in mark.args:
            require_program(program)
    if item.get_closest_marker("gpu") is not None:
        require_gpu()


@pytest.fixture
def configure_logging() -> Iterator[Callable[[str], None]]:
    """The configuration of a process's log, which is this process's until the test ends."""
    yield logs.configure_logging
    structlog.reset_defaults()
    root = logging.getLogger()
    for handler in [one for one in root.handlers if type(one).__module__ == logs.__name__]:
        root.removeHandler(handler)


@pytest.fixture(scope="session")
def store_server() -> Iterator[str]:
    """URL of a server that runs as long as the tests of this process. Never kill this one."""
    with running_store() as server:
        yield server.url


@pytest.fixture(scope="module")
def empty_store(store_server: str) -> str:
    """URL of that server, emptied once: a service of a module starts on no other test's data."""
    with closing(connect(store_server)) as client:
        client.flushall()
    return store_server


@pytest.fixture
def store(store_server: str) -> Iterator["redis.Redis"]:
    """A client of an empty store."""
    client = connect(store_server)
    client.flushall()
    yield client
    client.close()


@pytest.fixture
def ledger(store: "redis.Redis") -> JobLedger:
    """The client's half of the protocol on the empty store."""
    return JobLedger(store)


@pytest.fixture
def lease_ledger(store: "redis.Redis") -> LeaseLedger:
    """The owner's half of the protocol, with leases that last longer than a test."""
    return LeaseLedger(store, lease_seconds=30)


@pytest.fixture
def index(store: "redis.Redis") -> JobQueries:
    """The queries of jobs on the empty store."""
    return JobQueries(store)


@pytest.fixture
def settings(store: "redis.Redis", store_server: str, tmp_path: Path) -> Settings:
    """Settings of a service on the empty store, with artifacts of its own and an admin key."""
    return settings_for(store_server, tmp_path / "data")


@pytest.fixture
def client(settings: Settings) -> Iterator[Any]:
    """Flask's test client of the API, signed in with the admin key."""
    from api.app import create_app  # here: most tests need no web server's imports
    from tests.support_api import ReadingClient

    # closed here: an app that is collected as garbage may lose its sockets before their owner
    with closing(connect(settings.redis_url)) as own_connection:
        app = create_app(settings, own_connection)
        app.test_client_class = ReadingClient
        signed_in = app.test_client()
        signed_in.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {ADMIN_KEY}"
        yield signed_in


@pytest.fixture
def submit(client: Any) -> Callable[..., str]:
    """Submit a small job (`changes` replace fields of its spec); returns its id."""

    def post(**changes: Any) -> str:
        response = client.post("/v1/jobs", json=small_spec(**changes))
        assert response.status_code == 202, response.json
        return str(response.json["id"])

    return post


@pytest.fixture
def worker(submit: Callable[..., str], store: "redis.Redis", settings: Settings) -> ManualWorker:
    """The owner of a running job of 100 ticks, none of which is recorded yet."""
    submit(budget={"ticks": 100})
    return ManualWorker(store, settings)
