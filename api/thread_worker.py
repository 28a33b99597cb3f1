"""Gunicorn's threaded worker around the app: its threads, its end, and answers to what is not HTTP.

Knows no endpoint.
"""

import json
import socket
import sys
from typing import Any

from gunicorn.http import errors  # type: ignore[import-untyped]

from api.connection_loop import ConnectionLoop
from api.connections import Connection
from api.errors import PROBLEM_MEDIA_TYPE, URN_PREFIX
from api.long_polling import LONG_POLLER_EXTENSION
from jobs import logs

#: a short answer waits so long for each thread that computes, at each of its steps
SWITCH_SECONDS = 0.001

#: exception of gunicorn's parser -> status, title; the first match counts
PARSE_ERROR_RESPONSES: tuple[tuple[type[Exception], tuple[int, str]], ...] = (
    (errors.InvalidResponseHeader, (500, "Something went wrong here")),
    (errors.LimitRequestLine, (414, "The request line is too long")),
    (errors.LimitRequestHeaders, (431, "The headers are too large")),
    (errors.UnsupportedTransferCoding, (501, "Unknown transfer coding")),
    (errors.ExpectationFailed, (417, "Unknown expectation")),
    (errors.ParseException, (400, "The request is not HTTP")),
)


class ApiThreadWorker(ConnectionLoop):
    """Serves the app."""

    def init_process(self) -> None:
        """Begin to serve, with threads that hand over the interpreter often."""
        sys.setswitchinterval(SWITCH_SECONDS)
        super().init_process()

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Shut down gracefully: end long polls and streams, finish all other requests."""
        self._release_waiters()
        super().handle_exit(sig, frame)

    def handle_quit(self, sig: int, frame: Any) -> None:
        """Shut down at once; held requests must end, or their threads would keep Python alive."""
        self._release_waiters()
        super().handle_quit(sig, frame)

    def _release_waiters(self) -> None:
        app = getattr(self, "wsgi", None)  # absent before the app is created
        if (long_poller := getattr(app, "extensions", {}).get(LONG_POLLER_EXTENSION)) is not None:
            long_poller.notice_listener.close()

    def handle_request(self, req: Any, conn: Connection) -> Any:
        """Run the app for a parsed request. Returns whether the connection stays open."""
        conn.begin_request(req, self._settings.body_seconds)
        return super().handle_request(req, conn)

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: Exception) -> None:
        """Write a response to the socket: there is no parsed request to pass to the app."""
        matches = (match for kind, match in PARSE_ERROR_RESPONSES if isinstance(exc, kind))
        status, title = next(matches, (500, "Something went wrong here"))
        error, has_query, _ = repr(exc).partition("?")  # what follows may be a link's signature
        error += "?…" if has_query else ""
        details = {"status": status, "error": error, "exc_info": exc if status == 500 else None}
        logs.get_logger("api").warning("request not read", **details)
        body = json.dumps({"type": URN_PREFIX + "unreadable", "title": title, "status": status})
        head = (
            f"HTTP/1.1 {status} {title}\r\nConnection: close\r\n"
            f"Content-Type: {PROBLEM_MEDIA_TYPE}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        client.sendall((head + body).encode())
