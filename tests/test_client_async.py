"""The client for asyncio: the calls of the one that blocks, on one event loop."""

import asyncio
import gc
import inspect
import warnings
from typing import Any

import pytest

from tests.stub_server import KEY, LOST_RESPONSE, StubResponse, running_stub
from tickforge_client import (
    AsyncCheckpoint,
    AsyncClient,
    AsyncDataset,
    AsyncJob,
    Checkpoint,
    Client,
    Dataset,
    Job,
    JobTimeout,
)
from tickforge_client.blocking import run

PAIRS = [
    (AsyncClient, Client),
    (AsyncJob, Job),
    (AsyncDataset, Dataset),
    (AsyncCheckpoint, Checkpoint),
]


@pytest.mark.parametrize(("concurrent", "blocking"), PAIRS)
def test_both_clients_have_the_same_calls_with_the_same_parameters(
    concurrent: type, blocking: type
) -> None:
    assert surface(concurrent) == surface(blocking)


def surface(kind: type) -> dict[str, list[Any]]:
    """Return the public names of a class, each with the parameters of its call."""
    members = {name: getattr(kind, name) for name in dir(kind) if not name.startswith("_")}
    return {
        name: [(p.name, p.kind, p.default) for p in inspect.signature(member).parameters.values()]
        if callable(member)
        else []
        for name, member in members.items()
    }


def test_what_needs_an_event_loop_is_refused_by_the_blocking_client() -> None:
    with pytest.raises(RuntimeError, match="event loop"):
        run(asyncio.sleep(1))


def test_a_wait_gives_control_away_and_lost_answers_are_asked_for_again() -> None:
    """Ten waits at once take as long as one; each sleeps where the server holds none."""
    running: dict[str, Any] = {
        "id": "job_a", "status": "running", "tick": 1, "requested": None, "fields": {},
    }  # fmt: skip
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await asyncio.sleep(0)

    async def main(url: str) -> None:
        async with AsyncClient(url, KEY, sleep=sleep) as client:
            jobs = await asyncio.gather(*(client.job("job_a") for _ in range(3)))
            with pytest.raises(JobTimeout):
                await jobs[0].wait(0.2)

    with running_stub([LOST_RESPONSE, StubResponse(body=running)]) as server:
        asyncio.run(main(server.url))
    assert len(slept) >= 2 and len(server.requests) >= 5


def test_a_client_serves_one_event_loop_after_another_and_leaves_no_connection_behind() -> None:
    """asyncio.run closes each loop's connections; a loop closed without it is passed over too."""
    document = {"id": "job_a", "status": "running", "tick": 1}

    async def read(client: AsyncClient) -> None:
        jobs = await asyncio.gather(*(client.job("job_a") for _ in range(3)))
        await jobs[0].refresh()

    async def close_early(client: AsyncClient) -> int:
        await read(client)
        await client.close()
        return len(client.session.transport._clients)

    with running_stub([StubResponse(body=document)]) as server:
        client = AsyncClient(server.url, KEY)
        for _ in range(3):  # a connection that is still open would be a ResourceWarning
            asyncio.run(read(client))
            assert not client.session.transport._clients
        assert asyncio.run(close_early(client)) == 0
        loop = asyncio.new_event_loop()
        loop.run_until_complete(read(client))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            loop.close()
            asyncio.run(read(client))
            gc.collect()
