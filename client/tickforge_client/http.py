"""Talks HTTP to one server with one key: time-outs, safe retries, problems. Knows no job.

Every call may be repeated: reads change nothing, the verbs of a job are true at once when they
are so already, and what makes something carries an Idempotency-Key that is made once per call.
httpx is imported with the first request, so that `tickforge --help` need not wait for it.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlsplit

from tickforge_client.errors import (
    NotConfigured,
    Problem,
    TickforgeError,
    UnexpectedAnswer,
    Unreachable,
    problem,
)
from tickforge_client.patience import Patience, retry_after
from tickforge_client.uploads import FileBody

if TYPE_CHECKING:
    import httpx

#: seconds to connect, and between two pieces of an answer
CONNECT, READ = 5.0, 30.0
#: seconds for the answer to an upload: the server looks at all of it and brings it to its disk
UPLOADED = 600.0
#: seconds of trying when the server never answered yet (a wrong URL shows soon) …
UNKNOWN_SERVER = 3.0
#: … and when it did: it may be starting again
KNOWN_SERVER = 60.0
#: statuses after which the same request may pass: the server (or what stands before it) is busy
TRY_AGAIN = {429, 502, 503, 504}
IN_WORK = "urn:tickforge:problem:in-work"
_JSON = {"Content-Type": "application/json"}
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
Params = Mapping[str, Any]


class Fresh(NamedTuple):
    """What is new (None: nothing), its ETag, and how long the server wants to be left alone."""

    body: Any
    etag: str | None
    asked: float | None


class Session:
    """The way to one server. Opens its connection with the first request."""

    def __init__(
        self,
        url: str,
        key: str,
        *,
        sleep: Callable[[float], None] = time.sleep,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self.sleep = sleep
        self._key = key
        self._say = say
        self._answered = False
        self._opened: httpx.Client | None = None

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def patience(self) -> Patience:
        """How long to keep trying now."""
        return Patience(self._seconds, sleep=self.sleep, say=self._say)

    def _seconds(self) -> float:
        return KNOWN_SERVER if self._answered else UNKNOWN_SERVER

    def get(self, path: str, params: Params | None = None) -> Any:
        """The JSON at `path`."""
        return _json(self._send("GET", path, params))

    def get_if_new(self, path: str, etag: str | None, params: Params | None = None) -> Fresh:
        """The JSON at `path` and its ETag; no JSON while it is still what `etag` names."""
        answer = self._send("GET", path, params, headers={"If-None-Match": etag} if etag else {})
        asked = retry_after(answer.headers.get("retry-after"))
        if answer.status_code == 304:
            return Fresh(None, etag, asked)
        return Fresh(_json(answer), answer.headers.get("etag"), asked)

    def make(self, path: str, body: Any, idempotency_key: str | None = None) -> Any:
        """POST what makes something, once, however often the request has to be sent."""
        key = idempotency_key or secrets.token_hex(16)
        return _json(self._send("POST", path, body=body, headers={"Idempotency-Key": key}))

    def upload(self, path: str, params: Params, body: FileBody, media_type: str) -> Any:
        """POST a file that becomes something, once, however often it has to be sent."""
        headers = {
            "Content-Type": media_type,
            "Content-Length": str(body.size),
            "Idempotency-Key": secrets.token_hex(16),
        }
        return _json(self._send("POST", path, params, body=body, headers=headers))

    def post(self, path: str, body: Any = None) -> Any:
        """POST what is as true when asked for twice."""
        return _json(self._send("POST", path, body=body))

    def patch(self, path: str, body: Any) -> Any:
        """PATCH with a JSON body."""
        return _json(self._send("PATCH", path, body=body))

    def delete(self, path: str) -> None:
        """DELETE; also when an earlier try, whose answer was lost, had done it."""
        self._send("DELETE", path)

    @contextmanager
    def stream(
        self, path: str, *, params: Params | None = None, headers: Mapping[str, str]
    ) -> Iterator[httpx.Response]:
        """The answer to a GET with its body still unread; a body cut short is Unreachable."""
        import httpx

        answer = self._send("GET", path, params, headers=headers, stream=True)
        try:
            yield answer
        except httpx.RequestError as error:
            raise Unreachable(f"{self.url} broke off its answer ({_cause(error)})") from error
        finally:
            answer.close()

    def _send(
        self,
        method: str,
        path: str,
        params: Params | None = None,
        *,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        stream: bool = False,
    ) -> httpx.Response:
        """Send until there is an answer that counts. Raises Problem, Unreachable."""
        request = self._request(method, path, params, body, headers or {})
        patience = self.patience()
        lost = False  # whether a try may have been heard, though its answer was not
        while True:
            failure: TickforgeError
            wanted: float | None = None  # seconds the server wants to be left alone
            try:
                answer = self._try(request, stream)
            except Unreachable as error:
                lost, failure = True, error
            else:
                found = _refusal(answer)
                done = lost and method == "DELETE" and answer.status_code == 404
                if found is None or done:
                    return answer
                if not _may_pass(found):
                    raise found
                failure, wanted = found, retry_after(answer.headers.get("retry-after"))
            patience.pause(failure, wanted)

    def _request(
        self, method: str, path: str, params: Params | None, body: Any, headers: Mapping[str, str]
    ) -> httpx.Request:
        import httpx

        content: Any = body  # a file is read as it is sent
        timeout = httpx.Timeout(READ, connect=CONNECT)
        if isinstance(body, FileBody):
            timeout = httpx.Timeout(READ, connect=CONNECT, read=UPLOADED)
        elif body is not None:
            content, headers = json.dumps(body, allow_nan=False), {**headers, **_JSON}
        try:
            return self._client().build_request(
                method,
                self.url + path,
                params=params,
                headers=headers,
                content=content,
                timeout=timeout,
            )
        except httpx.InvalidURL as error:
            raise NotConfigured(f"not a server's address: {self.url!r} ({error})") from error

    def _try(self, request: httpx.Request, stream: bool) -> httpx.Response:
        import httpx

        try:
            answer = self._client().send(request, stream=stream)
            if not answer.is_success:
                answer.read()
        except httpx.RequestError as error:
            raise Unreachable(f"no answer from {self.url} ({_cause(error)})") from error
        self._answered = True
        return answer

    def _client(self) -> httpx.Client:
        if self._opened is None:
            import httpx

            from tickforge_client import __version__

            self._opened = httpx.Client(
                headers={
                    "Authorization": f"Bearer {self._key}",
                    "Accept": "application/json",
                    "User-Agent": f"tickforge-client/{__version__}",
                },
                timeout=httpx.Timeout(READ, connect=CONNECT),
                # no proxy can reach a server on this machine
                trust_env=urlsplit(self.url).hostname not in _LOOPBACK,
            )
        return self._opened


def path_of(*parts: str | int) -> str:
    """A path under /v1 from parts that may hold any character."""
    return "/v1/" + "/".join(quote(str(part), safe="") for part in parts)


def _may_pass(refusal: Problem) -> bool:
    # in work: an earlier try with this idempotency key is not answered yet
    return refusal.status in TRY_AGAIN or refusal.type == IN_WORK


def _refusal(answer: httpx.Response) -> Problem | None:
    if answer.is_success or answer.status_code == 304:
        return None
    try:
        body = answer.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):  # a proxy's page, or no Tickforge at all
        body = {"title": answer.reason_phrase, "detail": f"from {answer.url.copy_with(query=None)}"}
    return problem(answer.status_code, body)


def _json(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError as error:
        where = answer.url.copy_with(query=None)
        raise UnexpectedAnswer(f"{where} did not answer with JSON: is it Tickforge?") from error


def _cause(error: Exception) -> str:
    return str(error) or type(error).__name__
