"""A receiver of webhooks: a real HTTP server that keeps what it gets and answers as it is told."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from faults.waits import wait_until

Answer = Callable[["Call"], int]
NO_ANSWER = 0  # in the place of a status: the connection ends without one


@dataclass(frozen=True)
class Call:
    """One request as it came, and the status that it was answered with."""

    path: str
    headers: dict[str, str]
    body: bytes
    status: int = 0

    @property
    def id(self) -> str:
        """The id of its message."""
        return self.headers["webhook-id"]

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)

    @property
    def type(self) -> str:
        """The event that it tells."""
        return str(self.json["type"])


class WebhookReceiver:
    """Keeps calls; `answer` gives each its status. One of 3xx has a Location at the same server."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.answer: Answer = lambda call: 204
        self.url = ""

    def wait_for(self, count: int, seconds: float = 15) -> list[Call]:
        """Wait until there are so many calls; return all."""
        wait_until(lambda: len(self.calls) >= count, seconds, f"{count} calls")
        return list(self.calls)

    def types(self) -> list[str]:
        """Return the events in the order in which they came."""
        return [call.type for call in self.calls]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


@contextmanager
def running_receiver(tls: ssl.SSLContext | None = None) -> Iterator[WebhookReceiver]:
    """Run a receiver on a free port of 127.0.0.1; with `tls`, its address is https."""
    receiver = WebhookReceiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the name that http.server calls
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            call = Call(self.path, headers, body)
            status = receiver.answer(call)
            receiver.calls.append(replace(call, status=status))
            if status == NO_ANSWER:
                self.close_connection = True
                return
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", receiver.url + "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = _Server(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    scheme = "http" if tls is None else "https"
    receiver.url = f"{scheme}://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
