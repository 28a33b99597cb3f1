"""Fixtures over a real store. Each test that takes `store` begins with an empty one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from jobs.settings import Settings
from jobs.store import connect
from tests.support import running_store, settings_for


@pytest.fixture(scope="session")
def store_server() -> Iterator[str]:
    """URL of a server that runs as long as the tests of this process. Never kill this one."""
    with running_store() as server:
        yield server.url


@pytest.fixture
def store(store_server: str) -> Iterator["redis.Redis"]:
    """A client of an empty store."""
    client = connect(store_server)
    client.flushall()
    yield client
    client.close()


@pytest.fixture
def settings(store: "redis.Redis", store_server: str, tmp_path: Path) -> Settings:
    """Settings of a service on the empty store, with artifacts of its own and an admin key."""
    return settings_for(store_server, tmp_path / "data")
