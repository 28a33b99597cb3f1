"""A tiny HTTP server that answers as it is told: for what the client does on the wire alone."""

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
class Asked:
    """A request as it arrived."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: Mapping[str, str]
    body: Any


@dataclass(frozen=True)
class Answer:
    """What to answer. `cut`: bytes of the body after which the connection breaks off."""

    status: int = 200
    body: bytes | dict[str, Any] | list[Any] = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None


#: the connection ends without an answer
LOST = Answer(cut=-1)
Rule = Callable[[Asked], Answer]


@dataclass
class Server:
    """Where it is, and what it was asked."""

    url: str
    asked: list[Asked] = field(default_factory=list)

    def paths(self) -> list[str]:
        return [f"{each.method} {each.path}" for each in self.asked]


@contextmanager
def answering(rule: Rule | list[Answer]) -> Iterator[Server]:
    """A server that answers by a rule, or with these answers in turn (the last one for good)."""
    ours = Server("")
    answers = list(rule) if isinstance(rule, list) else []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            asked = _read(self)
            ours.asked.append(asked)
            if not isinstance(rule, list):
                _write(self, rule(asked))
            else:
                _write(self, answers.pop(0) if len(answers) > 1 else answers[0])

        do_GET = do_POST = do_PATCH = do_DELETE = answer

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        ours.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield ours
        finally:
            server.shutdown()
            thread.join()


def problem(status: int, headers: dict[str, str] | None = None, **body: Any) -> Answer:
    """A refusal as the service words it."""
    told = {"type": "urn:tickforge:problem:test", "title": "refused", "status": status, **body}
    kind = {"Content-Type": "application/problem+json"}
    return Answer(status, told, {**kind, **(headers or {})})


def job(**changes: Any) -> dict[str, Any]:
    """A Job of the contract."""
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


def _read(handler: BaseHTTPRequestHandler) -> Asked:
    parts = urlsplit(handler.path)
    length = int(handler.headers.get("Content-Length") or 0)
    body = handler.rfile.read(length)
    return Asked(
        handler.command,
        parts.path,
        parse_qs(parts.query),
        handler.headers,
        json.loads(body) if body else None,
    )


def _write(handler: BaseHTTPRequestHandler, answer: Answer) -> None:
    body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
    if answer.cut != -1:
        handler.send_response(answer.status)
        for name, value in answer.headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body if answer.cut is None else body[: answer.cut])
        handler.wfile.flush()
    if answer.cut is not None:
        handler.connection.shutdown(socket.SHUT_RDWR)
        handler.close_connection = True
