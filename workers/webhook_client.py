"""Sends messages over HTTP, many at a time, from a thread of its own. Knows no store.

Names are resolved here and each address is checked at each connection (jobs/webhooks/addresses.py);
a connection goes to the checked address alone, is used once, and no redirect is followed. Of an
answer only the status is read. Imported only once there is a webhook.
"""

import asyncio
import ssl
import threading
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable, Sequence
from contextlib import suppress
from ipaddress import ip_address
from typing import Any, NamedTuple

import certifi
import h11

from jobs.spec.notify import CalledUrl
from jobs.webhooks.addresses import AddressRules, RefusedAddress, resolve

MAX_SECONDS = 15.0  # of one try, from resolving the name to the status
MAX_ERROR_CHARACTERS = 300
MAX_READ_BYTES = 65_536  # of an answer, at a time


class Response(NamedTuple):
    """What came of a request: a status, or else why there is none."""

    status: int | None
    error: str | None = None


class Request(NamedTuple):
    """What to send where; `on_response` is called in the client's thread."""

    url: CalledUrl
    headers: dict[str, str]
    body: bytes
    on_response: Callable[[Response], None]


class WebhookClient:
    """Sends requests in its own event loop; results are handed over in that loop's thread."""

    def __init__(self, rules: AddressRules) -> None:
        self._rules = rules
        self._loop = asyncio.new_event_loop()
        self._tasks = set[asyncio.Task[None]]()  # the loop itself holds them weakly
        self._tls = ssl.create_default_context()
        self._tls.load_verify_locations(certifi.where())
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="webhook client", daemon=True
        )
        self._thread.start()

    def send(self, requests: Sequence[Request]) -> None:
        """Begin requests; `on_response` of each is called once, unless `close` comes before."""
        if requests:
            self._loop.call_soon_threadsafe(self._begin, requests)

    def _begin(self, requests: Sequence[Request]) -> None:
        for request in requests:
            task = self._loop.create_task(self._run(request))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run(self, request: Request) -> None:
        request.on_response(await self._request(request))

    def close(self) -> None:
        """Break off all requests, and end the thread."""
        asyncio.run_coroutine_threadsafe(self._cancel_all(), self._loop)
        self._thread.join(2.0)
        if not self._thread.is_alive():
            self._loop.close()

    async def _cancel_all(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._loop.stop()

    async def _request(self, request: Request) -> Response:
        try:
            async with asyncio.timeout(MAX_SECONDS):
                return Response(await self._exchange(request))
        except TimeoutError:
            return Response(None, f"no answer within {MAX_SECONDS:.0f} s")
        except RefusedAddress as error:
            return Response(None, str(error))
        except Exception as error:  # of the name, the network, TLS or the other's HTTP
            return Response(None, _describe(error))

    async def _exchange(self, request: Request) -> int:
        """Send one request on a connection of its own; return the status."""
        http, url = h11.Connection(h11.CLIENT), request.url
        fields = [("host", url.host_header), *request.headers.items()]
        head = h11.Request(method="POST", target=url.target, headers=fields)
        parts = (head, h11.Data(data=request.body), h11.EndOfMessage())
        reader, writer = await self._connect(url)
        try:
            writer.write(b"".join(filter(None, map(http.send, parts))))
            while not isinstance(event := http.next_event(), h11.Response):
                if event is h11.NEED_DATA:
                    data = await reader.read(MAX_READ_BYTES)
                    if not data:
                        raise ConnectionError("it closed the connection without an answer")
                    http.receive_data(data)
            return event.status_code
        finally:
            writer.close()

    async def _connect(self, url: CalledUrl) -> tuple[StreamReader, StreamWriter]:
        """Connect to the first address that takes the connection. Raises RefusedAddress."""
        addresses = await _resolve(url.host, url.port)
        self._rules.check_addresses(url.host, addresses)
        tls: dict[str, Any] = {}
        if url.scheme == "https":
            tls = {"ssl": self._tls, "server_hostname": url.host, "ssl_shutdown_timeout": 1.0}
        error = OSError("it has no address")
        for address in addresses:
            try:
                return await asyncio.open_connection(address, url.port, **tls)
            except OSError as refused:
                error = refused
        raise error


async def _resolve(host: str, port: int) -> list[str]:
    """Resolve a name in a thread of its own, so that slow names hold up no others."""
    with suppress(ValueError):  # an address needs no thread
        return [str(ip_address(host))]
    loop = asyncio.get_running_loop()
    future: asyncio.Future[list[str]] = loop.create_future()

    def settle(addresses: list[str], error: Exception | None) -> None:
        if future.done():  # the time is over
            return
        if error is None:
            future.set_result(addresses)
        else:
            future.set_exception(error)

    def look_up() -> None:
        addresses, error = list[str](), None
        try:
            addresses = resolve(host, port)
        except (OSError, UnicodeError) as failure:
            error = failure
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, addresses, error)

    threading.Thread(target=look_up, daemon=True).start()
    return await future


def _describe(error: Exception) -> str:
    text = str(error) or type(error).__name__
    return f"{type(error).__name__}: {text}"[:MAX_ERROR_CHARACTERS]
