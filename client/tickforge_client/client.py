"""The clients of the service: one that blocks, and one of asyncio. Prints nothing.

The calls and their documentation are in client_calls.py.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Self

from tickforge_client.blocking import blocking, blocking_iterator
from tickforge_client.client_calls import ClientCalls
from tickforge_client.client_parts import ClientParts
from tickforge_client.config import resolve_server, validate
from tickforge_client.datasets import AsyncDataset, Dataset
from tickforge_client.http import ApiSession
from tickforge_client.job import AsyncJob, Job
from tickforge_client.transport import AsyncTransport, BlockingTransport, Connection


class AsyncClient(ClientCalls[AsyncJob, AsyncDataset]):
    """A Tickforge server and an access key for it, for programs of asyncio.

    Its calls are those of Client, as coroutines and asynchronous iterators. `url`, `key` and `say`
    are as there; `sleep` is a coroutine. One client serves several event loops, as those of several
    asyncio.run; `close` closes the connections of the loop that runs.
    """

    _job_kind, _dataset_kind = AsyncJob, AsyncDataset

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        say: Callable[[str], None] | None = None,
        sleep: Callable[[float], Awaitable[None]] | None = None,
    ) -> None:
        connection = find_connection(url, key)
        transport = AsyncTransport(connection, sleep)
        super().__init__(ApiSession(connection.url, transport, on_retry=say))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()

    @property
    def datasets(self) -> AsyncIterator[AsyncDataset]:
        """All datasets, newest first."""
        return self.list_datasets()


class Client(ClientParts[Job, Dataset]):
    """A Tickforge server and an access key for it.

    A missing `url` or `key` comes from TICKFORGE_URL and TICKFORGE_KEY, else from the config file
    that serve.py writes for the local user; raises NotConfigured if there is no key. `say` is
    called with one line when a call has to be retried; `sleep` waits between attempts.
    """

    _job_kind, _dataset_kind = Job, Dataset
    _calls = ClientCalls[Job, Dataset]

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        say: Callable[[str], None] | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        connection = find_connection(url, key)
        transport = BlockingTransport(connection, sleep)
        super().__init__(ApiSession(connection.url, transport, on_retry=say))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    close = blocking(_calls.close)
    submit = blocking(_calls.submit)
    plan = blocking(_calls.plan)
    job = blocking(_calls.job)
    page = blocking(_calls.page)
    jobs = blocking_iterator(_calls.jobs)
    models = blocking(_calls.models)
    workers = blocking(_calls.workers)
    upload = blocking(_calls.upload)
    dataset = blocking(_calls.dataset)
    dataset_page = blocking(_calls.dataset_page)
    list_datasets = blocking_iterator(_calls.list_datasets)
    keys = blocking_iterator(_calls.keys)
    create_key = blocking(_calls.create_key)
    delete_key = blocking(_calls.delete_key)
    usage = blocking(_calls.usage)
    usage_events = blocking_iterator(_calls.usage_events)
    tenants = blocking(_calls.tenants)
    tenant = blocking(_calls.tenant)
    set_tenant = blocking(_calls.set_tenant)
    delete_jobs = blocking(_calls.delete_jobs)
    version = blocking(_calls.version)
    webhooks = blocking_iterator(_calls.webhooks)
    create_webhook = blocking(_calls.create_webhook)
    webhook = blocking(_calls.webhook)
    update_webhook = blocking(_calls.update_webhook)
    rotate_webhook = blocking(_calls.rotate_webhook)
    delete_webhook = blocking(_calls.delete_webhook)
    test_webhook = blocking(_calls.test_webhook)
    deliveries = blocking_iterator(_calls.deliveries)
    redeliver = blocking(_calls.redeliver)

    @property
    def datasets(self) -> Iterator[Dataset]:
        """All datasets, newest first."""
        return self.list_datasets()


def find_connection(url: str | None, key: str | None) -> Connection:
    """Return address and key: those given, else of environment or file. Raises NotConfigured."""
    server = validate(url, key) if url and key else resolve_server(url, key, os.environ)
    return Connection(server.url.rstrip("/"), server.key)
