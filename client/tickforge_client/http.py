"""HTTP to one server with one key: time-outs, safe retries, problem documents. Knows no job.

Every call can be repeated safely: reads change nothing, a job's actions are idempotent, and a
request that creates something carries an Idempotency-Key generated once per call. Written once, as
coroutines over a Transport that blocks or one of asyncio.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from tickforge_client.errors import (
    NotConfigured,
    Problem,
    QuotaExceeded,
    UnexpectedAnswer,
    Unreachable,
    make_problem,
)
from tickforge_client.json_values import encode
from tickforge_client.retry import Backoff, parse_retry_after
from tickforge_client.transport import BlockingTransport, StreamedResponse, Transport
from tickforge_client.uploads import FileBody

if TYPE_CHECKING:
    import httpx

#: seconds to connect, and between two chunks of an answer
CONNECT_TIMEOUT, READ_TIMEOUT = 5.0, 30.0
#: seconds for the answer to an upload: the server first parses all of it and fsyncs it
UPLOAD_TIMEOUT = 600.0
#: seconds to retry while the server has never answered: a wrong URL should fail soon
FIRST_CONTACT_RETRY_SECONDS = 3.0
#: seconds to retry once the server has answered: it may be restarting
RETRY_SECONDS = 60.0
#: seconds between two looks at a file that is being made, where the server names none
DEFAULT_PAUSE_SECONDS = 2.0
#: statuses after which the same request may succeed: the server or a proxy is busy
RETRYABLE_STATUSES = {429, 502, 503, 504}
REQUEST_IN_PROGRESS = "urn:tickforge:problem:in-work"
NO_WORKER = "urn:tickforge:problem:no-worker"  # somebody must start one first
Params = Mapping[str, Any]
JsonObject = dict[str, Any]


class ConditionalResponse(NamedTuple):
    """A body (None if unchanged), its ETag, the Retry-After in seconds, and what a wait was for.

    `until_met`: whether what `until` names is so; None where the server does not say.
    """

    body: JsonObject | None
    etag: str | None
    retry_after: float | None
    until_met: bool | None = None


class ApiSession:
    """A connection to one server, opened with the first request.

    `max_timeout`: seconds to which each part of a request is bounded, below what is usual.
    """

    def __init__(
        self,
        url: str,
        transport: Transport,
        *,
        on_retry: Callable[[str], None] | None = None,
        max_timeout: float = UPLOAD_TIMEOUT,
    ) -> None:
        self.url = url.rstrip("/")
        self.transport, self.sleep, self.call = transport, transport.sleep, transport.call
        self._on_retry, self._max_timeout = on_retry, max_timeout
        self._has_answered = False

    def for_display(self) -> ApiSession:
        """Return a session that blocks, and soon gives up, for what is shown to people at once."""
        return ApiSession(self.url, BlockingTransport(self.transport.connection, time.sleep))

    async def close(self) -> None:
        """Close the connection; the next request opens a new one."""
        await self.transport.close()

    def new_backoff(self) -> Backoff:
        """Return a Backoff for one call: short until the server has ever answered, longer after."""
        return Backoff(
            lambda: RETRY_SECONDS if self._has_answered else FIRST_CONTACT_RETRY_SECONDS,
            sleep=self.sleep,
            on_retry=self._on_retry,
        )

    async def get(self, path: str, params: Params | None = None) -> JsonObject:
        """Return the JSON at `path`."""
        return _parse_json(await self._send("GET", path, params))

    async def wait_for_file(self, path: str) -> tuple[int, str]:
        """Return bytes and ETag of the file at `path`, once the server has made it.

        Raises Problem where it cannot be made.
        """
        headers = {"Accept": "*/*", "Range": "bytes=0-0"}  # a HEAD would not tell why not
        while (response := await self._send("GET", path, headers=headers)).status_code == 202:
            pause = parse_retry_after(response.headers.get("retry-after"))
            await self.sleep(DEFAULT_PAUSE_SECONDS if pause is None else pause)
        size = response.headers.get("content-range", "").rpartition("/")[2]
        etag = response.headers.get("etag", "")
        if not size.isdigit() or not etag:
            raise UnexpectedAnswer(f"{self.url} answered no file at {path}")
        return int(size), etag.strip('"')

    async def get_bytes(self, path: str, params: Params | None = None) -> bytes:
        """Return what is at `path`, which is no JSON."""
        return (await self._send("GET", path, params)).content

    async def iter_entries(self, path: str, params: Params) -> AsyncIterator[Any]:
        """Yield the entries of a list, fetching page after page."""
        query = dict(params)
        while True:
            page = await self.get(path, query)
            for entry in page["data"]:
                yield entry
            if not page["has_more"]:
                return
            query["after"] = page["next_after"]

    async def get_if_changed(
        self, path: str, etag: str | None, params: Params | None = None
    ) -> ConditionalResponse:
        """Return the JSON at `path` with its ETag; the body is None if `etag` is still current."""
        response = await self._send(
            "GET", path, params, headers={"If-None-Match": etag} if etag else {}
        )
        min_pause = parse_retry_after(response.headers.get("retry-after"))
        met = {"true": True, "false": False}.get(response.headers.get("x-until-met", ""))
        if response.status_code == 304:
            return ConditionalResponse(None, etag, min_pause, met)
        body = _parse_json(response)
        return ConditionalResponse(body, response.headers.get("etag"), min_pause, met)

    async def create(self, path: str, body: Any, idempotency_key: str | None = None) -> JsonObject:
        """POST JSON that creates a resource; retries never create a second one."""
        key = idempotency_key or secrets.token_hex(16)
        return _parse_json(
            await self._send("POST", path, body=body, headers={"Idempotency-Key": key})
        )

    async def upload(
        self, path: str, params: Params, body: FileBody, media_type: str
    ) -> JsonObject:
        """POST a file that becomes a resource; retries never create a second one."""
        headers = {"Content-Type": media_type, "Content-Length": str(body.size)}
        headers["Idempotency-Key"] = secrets.token_hex(16)
        if body.is_gzip:
            headers["Content-Encoding"] = "gzip"
        return _parse_json(await self._send("POST", path, params, body=body, headers=headers))

    async def post(self, path: str, body: Any = None) -> JsonObject:
        """POST an idempotent action."""
        return _parse_json(await self._send("POST", path, body=body))

    async def patch(self, path: str, body: Any) -> JsonObject:
        """PATCH with a JSON body."""
        return _parse_json(await self._send("PATCH", path, body=body))

    async def delete(self, path: str) -> None:
        """DELETE; a 404 after an attempt whose answer was lost counts as success."""
        await self._send("DELETE", path)

    async def discard(self, path: str) -> None:
        """DELETE what expires by itself: one attempt, however it is answered."""
        with suppress(Unreachable):
            await self._send_once(self._build_request("DELETE", path, None, None, {}), False)

    async def delete_matching(self, path: str, params: Params) -> JsonObject:
        """DELETE what matches; return the JSON of the answer."""
        return _parse_json(await self._send("DELETE", path, params))

    @asynccontextmanager
    async def stream(
        self, path: str, *, params: Params | None = None, headers: Mapping[str, str]
    ) -> AsyncIterator[StreamedResponse]:
        """GET with the body still unread; raises Unreachable in the block if it is cut short."""
        import httpx

        response = await self._send("GET", path, params, headers=headers, stream=True)
        try:
            yield StreamedResponse(response.status_code, response.headers, response, self.transport)
        except httpx.RequestError as error:
            cause = _describe_error(error)
            raise Unreachable(f"{self.url} broke off its answer ({cause})") from error
        finally:
            await self.transport.close_response(response)

    async def _send(
        self,
        method: str,
        path: str,
        params: Params | None = None,
        *,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        stream: bool = False,
    ) -> httpx.Response:
        """Send with retries until a final answer. Raises Problem, Unreachable."""
        request = self._build_request(method, path, params, body, headers or {})
        backoff = self.new_backoff()
        has_lost_response = False  # an attempt may have been processed
        while True:
            try:
                response = await self._send_once(request, stream)
            except Unreachable as error:
                has_lost_response = True
                await backoff.wait(error)
                continue
            refusal = _read_problem(response)
            if refusal is None:
                return response
            if has_lost_response and method == "DELETE" and refusal.status == 404:
                return response  # deleted by an attempt whose answer was lost
            if not _is_retryable(refusal):
                raise refusal
            await backoff.wait(refusal, parse_retry_after(response.headers.get("retry-after")))

    def _build_request(
        self, method: str, path: str, params: Params | None, body: Any, headers: Mapping[str, str]
    ) -> httpx.Request:
        import httpx

        # an upload's file is read while it is sent
        read_timeout = UPLOAD_TIMEOUT if isinstance(body, FileBody) else READ_TIMEOUT
        usual, connect, read = (
            min(seconds, self._max_timeout)
            for seconds in (READ_TIMEOUT, CONNECT_TIMEOUT, read_timeout)
        )
        timeout = httpx.Timeout(usual, connect=connect, read=read)
        content, url = body, self.url + path
        if body is not None and not isinstance(body, FileBody):
            content = encode(body)
            headers = {**headers, "Content-Type": "application/json"}
        try:
            return self.transport.build(
                method, url, params=params, headers=headers, content=content, timeout=timeout
            )
        except httpx.InvalidURL as error:
            raise NotConfigured(f"not a server's address: {self.url!r} ({error})") from error

    async def _send_once(self, request: httpx.Request, stream: bool) -> httpx.Response:
        import httpx

        try:
            response = await self.transport.send(request, stream=stream)
            if not response.is_success:
                await self.transport.read(response)
        except httpx.RequestError as error:
            raise Unreachable(f"no answer from {self.url} ({_describe_error(error)})") from error
        self._has_answered = True
        return response


def _is_retryable(refusal: Problem) -> bool:
    # in progress: an earlier attempt with this idempotency key is still being processed
    if isinstance(refusal, QuotaExceeded) or refusal.type == NO_WORKER:
        return False  # somebody must do something first
    return refusal.status in RETRYABLE_STATUSES or refusal.type == REQUEST_IN_PROGRESS


def _read_problem(response: httpx.Response) -> Problem | None:
    if response.is_success or response.status_code == 304:
        return None
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):  # a proxy's error page, or not Tickforge at all
        url = response.url.copy_with(query=None)
        body = {"title": response.reason_phrase, "detail": f"from {url}"}
    return make_problem(response.status_code, body)


def _parse_json(response: httpx.Response) -> JsonObject:
    try:
        body: JsonObject = response.json()
    except ValueError as error:
        url = response.url.copy_with(query=None)
        raise UnexpectedAnswer(f"{url} did not answer with JSON: is it Tickforge?") from error
    return body


def _describe_error(error: Exception) -> str:
    return str(error) or type(error).__name__
