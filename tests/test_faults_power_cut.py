"""A power cut takes what was not synced: an acknowledged job is not among it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.preload import Preload, build_preload
from faults.store_server import StoreServer
from jobs.ledger.client import JobLedger
from jobs.queries.jobs import JobQueries
from jobs.store.connection import connect
from tests.ledger_helpers import submit_job
from tests.needs import needs
from tests.support import wait_until

pytestmark = needs("gcc")  # it watches syncs
JOBS = 20  # one after the other in some ms: a log that is synced once a second misses most


@pytest.fixture
def preload(tmp_path: Path) -> Preload:
    return build_preload(tmp_path)


@pytest.fixture
def server(preload: Preload) -> Iterator[StoreServer]:
    """A store whose every sync is noted."""
    watched = StoreServer(environ={**os.environ, **preload.environment})
    try:
        watched.start()
        yield watched
    finally:
        watched.remove()


def after_a_power_cut(server: StoreServer, preload: Preload) -> tuple[int, int]:
    """Submit some jobs, cut the power: how many were lost, and how many bytes were cut off."""
    client = connect(server.url)
    ledger = JobLedger(client)
    submit_job(ledger)
    # a log that was never synced has no note, and would be left whole
    wait_until(lambda: list(preload.synced.glob("*.incr.aof")), 10, "the first sync of the log")
    for _ in range(JOBS):
        submit_job(ledger)
    server.kill()
    cut = preload.cut_to_synced(server.folder)
    server.start()
    lost = JOBS + 1 - len(JobQueries(client).list_jobs("default").data)
    client.close()
    return lost, cut


def test_an_acknowledged_job_outlives_a_power_cut(server: StoreServer, preload: Preload) -> None:
    assert after_a_power_cut(server, preload) == (0, 0)


def test_a_store_that_syncs_once_a_second_is_seen_to_lose_jobs(
    server: StoreServer, preload: Preload
) -> None:
    client = connect(server.url)
    client.config_set("appendfsync", "everysec")
    client.close()

    lost, cut = after_a_power_cut(server, preload)
    assert lost > 0 and cut > 0
