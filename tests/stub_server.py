"""A tiny HTTP server with prepared responses, to test what the client sends and how it reacts."""

import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

KEY = "a-key-for-the-client-of-the-tests-012345"


@dataclass(frozen=True)
class ReceivedRequest:
    """A request as it arrived."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: Mapping[str, str]
    body: Any


@dataclass(frozen=True)
class StubResponse:
    """A prepared response. `cut`: bytes of the body after which the connection breaks off."""

    status: int = 200
    body: bytes | dict[str, Any] | list[Any] = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None


#: the connection ends without an answer
LOST_RESPONSE = StubResponse(cut=-1)
Rule = Callable[[ReceivedRequest], StubResponse]


@dataclass
class StubServer:
    """The server's address, and the requests that it received."""

    url: str
    requests: list[ReceivedRequest] = field(default_factory=list)

    def request_lines(self) -> list[str]:
        return [f"{request.method} {request.path}" for request in self.requests]


@contextmanager
def running_stub(rule: Rule | list[StubResponse]) -> Iterator[StubServer]:
    """Run a server with responses by a rule, or from a list (the last one for good)."""
    stub = StubServer("")
    responses = list(rule) if isinstance(rule, list) else []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def respond(self) -> None:
            request = _read_request(self)
            stub.requests.append(request)
            if not isinstance(rule, list):
                _write_response(self, rule(request))
            else:
                _write_response(self, responses.pop(0) if len(responses) > 1 else responses[0])

        do_GET = do_POST = do_PATCH = do_DELETE = respond

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        stub.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield stub
        finally:
            server.shutdown()
            thread.join()


def problem_response(
    status: int, headers: dict[str, str] | None = None, **body: Any
) -> StubResponse:
    """Return a problem response in the service's form."""
    payload = {"type": "urn:tickforge:problem:test", "title": "refused", "status": status, **body}
    content_type = {"Content-Type": "application/problem+json"}
    return StubResponse(status, payload, {**content_type, **(headers or {})})


def job_document(**changes: Any) -> dict[str, Any]:
    """Return a Job of the contract."""
    fields = {
        "id": "job_" + "a" * 26, "kind": "train", "name": "digits-ln", "labels": {}, "notes": "",
        "priority": 0, "status": "running", "requested": None, "phase": "training", "tick": 1234,
        "ticks_total": 10_000, "first_tick": 1, "progress": 0.1234, "epoch": 12.34, "loss": 0.123,
        "best": None, "metrics": {"val_loss": 0.21}, "ticks_per_second": 5321.0,
        "elapsed_seconds": 0.3, "eta_seconds": 1.6, "queue": None, "bytes": 81_234, "attempt": 1,
        "stopped_by": None, "error": None, "result": None, "created_at": "2026-11-24T10:00:00.000Z",
        "started_at": "2026-11-24T10:00:00.100Z", "finished_at": None, "engine": "eager",
        "device": "cpu", "fingerprint": {}, "exact": True, "worker": "w1", "parent": None,
        "latest_checkpoint": None, "spec": {}, "links": {},
    }  # fmt: skip
    return {**fields, **changes}


def _read_request(handler: BaseHTTPRequestHandler) -> ReceivedRequest:
    parts = urlsplit(handler.path)
    length = int(handler.headers.get("Content-Length") or 0)
    body = handler.rfile.read(length)
    return ReceivedRequest(
        handler.command,
        parts.path,
        parse_qs(parts.query),
        handler.headers,
        _parse_body(body),
    )


def _parse_body(body: bytes) -> Any:
    """Return a body's JSON, None for no body, and the bytes of anything else."""
    if not body:
        return None
    try:
        return json.loads(body)
    except ValueError:
        return body


def _write_response(handler: BaseHTTPRequestHandler, response: StubResponse) -> None:
    body = response.body if isinstance(response.body, bytes) else json.dumps(response.body).encode()
    if response.cut != -1:
        handler.send_response(response.status)
        for name, value in response.headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body if response.cut is None else body[: response.cut])
        handler.wfile.flush()
    if response.cut is not None:
        handler.connection.shutdown(socket.SHUT_RDWR)
        handler.close_connection = True
