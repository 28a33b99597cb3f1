"""The two ways to do HTTP: requests that block, and requests of asyncio. Knows no path and no job.

All else is written once, as coroutines, over the `Transport` that both are. httpx is imported with
the first request, so that `tickforge --help` does not wait for it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar
from urllib.parse import urlsplit

from tickforge_client._version import __version__
from tickforge_client.uploads import FileBody

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    import httpx

P = ParamSpec("P")
T = TypeVar("T")
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


@dataclass(frozen=True)
class Connection:
    """What both kinds of httpx' clients are made of: the server's address and the key."""

    url: str
    key: str

    @property
    def options(self) -> dict[str, Any]:
        """The arguments of an httpx client."""
        headers = {
            "Authorization": f"Bearer {self.key}",
            "Accept": "application/json",
            "User-Agent": f"tickforge-client/{__version__}",
        }
        url = urlsplit(self.url)
        return {
            "headers": headers,
            # a proxy cannot reach a server on this machine
            "trust_env": url.hostname not in _LOOPBACK,
            # of plain HTTP: redirects are not followed, so no certificate is ever looked at
            "verify": url.scheme != "http",
        }


class Transport(Protocol):
    """Sends requests of httpx and reads their answers; connects with the first one."""

    connection: Connection

    def build(self, method: str, url: str, **fields: Any) -> httpx.Request:
        """Make a request; `content` may be a FileBody."""

    async def send(self, request: httpx.Request, *, stream: bool) -> httpx.Response:
        """Send a request; with `stream` the body of the answer is still unread."""

    async def read(self, response: httpx.Response) -> None:
        """Read the body of an answer."""

    def raw_pieces(self, response: httpx.Response) -> AsyncIterator[bytes]:
        """Yield a body as it arrives, not decoded."""

    def pieces(self, response: httpx.Response) -> AsyncIterator[bytes]:
        """Yield a body, decoded."""

    def lines(self, response: httpx.Response) -> AsyncIterator[str]:
        """Yield the lines of a body."""

    async def close_response(self, response: httpx.Response) -> None:
        """Read no more of an answer."""

    async def close(self) -> None:
        """Close the connections; the next request opens new ones."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function that waits for a disk."""


@dataclass(frozen=True)
class StreamedResponse:
    """An answer whose body is read as it arrives, once."""

    status_code: int
    headers: Mapping[str, str]
    _response: httpx.Response
    _transport: Transport

    @property
    def raw_pieces(self) -> AsyncIterator[bytes]:
        """The body in pieces, not decoded."""
        return self._transport.raw_pieces(self._response)

    @property
    def pieces(self) -> AsyncIterator[bytes]:
        """The body in pieces, decoded."""
        return self._transport.pieces(self._response)

    @property
    def lines(self) -> AsyncIterator[str]:
        """The lines of the body."""
        return self._transport.lines(self._response)


class BlockingTransport:
    """A Transport whose coroutines block and never give control away: see `blocking.run`."""

    def __init__(self, connection: Connection, sleep: Callable[[float], None]) -> None:
        self.connection, self._sleep = connection, sleep
        self._client: httpx.Client | None = None

    def build(self, method: str, url: str, **fields: Any) -> httpx.Request:
        return self._open().build_request(method, url, **fields)

    async def send(self, request: httpx.Request, *, stream: bool) -> httpx.Response:
        return self._open().send(request, stream=stream)

    async def read(self, response: httpx.Response) -> None:
        response.read()

    async def raw_pieces(self, response: httpx.Response) -> AsyncIterator[bytes]:
        for piece in response.iter_raw():
            yield piece

    async def pieces(self, response: httpx.Response) -> AsyncIterator[bytes]:
        for piece in response.iter_bytes():
            yield piece

    async def lines(self, response: httpx.Response) -> AsyncIterator[str]:
        for line in response.iter_lines():
            yield line

    async def close_response(self, response: httpx.Response) -> None:
        response.close()

    async def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    async def sleep(self, seconds: float) -> None:
        self._sleep(seconds)

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return function(*args, **kwargs)

    def _open(self) -> httpx.Client:
        if self._client is None:
            import httpx

            self._client = httpx.Client(**self.connection.options)
        return self._client


class AsyncTransport:
    """A Transport of asyncio: what waits for the network gives control away, or for a disk too.

    Connections belong to the event loop that opened them: each loop has its own, closed with it.
    """

    def __init__(
        self, connection: Connection, sleep: Callable[[float], Awaitable[None]] | None = None
    ) -> None:
        self.connection, self._sleep = connection, sleep
        self._clients: dict[AbstractEventLoop, httpx.AsyncClient] = {}
        self._guards: dict[AbstractEventLoop, AsyncGenerator[None, None]] = {}

    def build(self, method: str, url: str, **fields: Any) -> httpx.Request:
        if isinstance(fields.get("content"), FileBody):
            fields["content"] = _AsyncBody(fields["content"])
        return self._open().build_request(method, url, **fields)

    async def send(self, request: httpx.Request, *, stream: bool) -> httpx.Response:
        client = self._open()
        if (loop := _running_loop()) not in self._guards:
            self._guards[loop] = self._close_with(loop)
            await anext(self._guards[loop])
        return await client.send(request, stream=stream)

    async def read(self, response: httpx.Response) -> None:
        await response.aread()

    def raw_pieces(self, response: httpx.Response) -> AsyncIterator[bytes]:
        return response.aiter_raw()

    def pieces(self, response: httpx.Response) -> AsyncIterator[bytes]:
        return response.aiter_bytes()

    def lines(self, response: httpx.Response) -> AsyncIterator[str]:
        return response.aiter_lines()

    async def close_response(self, response: httpx.Response) -> None:
        await response.aclose()

    async def close(self) -> None:
        if guard := self._guards.get(_running_loop()):
            await guard.aclose()

    async def sleep(self, seconds: float) -> None:
        import asyncio  # only here: `tickforge --help` does not wait for it

        await (self._sleep or asyncio.sleep)(seconds)

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        import asyncio

        return await asyncio.to_thread(function, *args, **kwargs)

    def _open(self) -> httpx.AsyncClient:
        loop = _running_loop()
        if loop not in self._clients:
            for ended in [known for known in self._clients if known.is_closed()]:
                self._forget(ended)
            import httpx

            self._clients[loop] = httpx.AsyncClient(**self.connection.options)
        return self._clients[loop]

    async def _close_with(self, loop: AbstractEventLoop) -> AsyncGenerator[None, None]:
        """Close a loop's connections when this is closed: asyncio.run does so before it ends."""
        try:
            yield
        finally:
            if (client := self._forget(loop)) is not None:
                await client.aclose()

    def _forget(self, loop: AbstractEventLoop) -> httpx.AsyncClient | None:
        self._guards.pop(loop, None)
        return self._clients.pop(loop, None)


def _running_loop() -> AbstractEventLoop:
    import asyncio

    return asyncio.get_running_loop()


class _AsyncBody:
    """A file as an asynchronous iterable, from its beginning at every attempt."""

    def __init__(self, body: FileBody) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        import asyncio

        pieces = iter(self._body)
        while piece := await asyncio.to_thread(next, pieces, b""):
            yield piece
