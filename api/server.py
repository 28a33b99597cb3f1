"""Gunicorn around the app: threads, limits, and responses to malformed HTTP. Knows no endpoint."""

import gc
import json
import os
import shutil
import socket
import tempfile
from collections.abc import Callable
from typing import Any

from flask import Flask
from gunicorn import util  # type: ignore[import-untyped]
from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]
from gunicorn.http import errors  # type: ignore[import-untyped]
from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]

from api import metrics
from api.dependencies import UPKEEP_EXTENSION
from api.errors import PROBLEM_MEDIA_TYPE, URN_PREFIX
from api.long_polling import LONG_POLLER_EXTENSION
from api.upload_body import MAX_DISCARDED_BYTES
from jobs import logs
from jobs.settings import Settings

GRACEFUL_SECONDS = 5
KEEPALIVE_SECONDS = 30

#: exception of gunicorn's parser -> status, title; the first match counts
PARSE_ERROR_RESPONSES: tuple[tuple[type[Exception], tuple[int, str]], ...] = (
    (errors.InvalidResponseHeader, (500, "Something went wrong here")),
    (errors.LimitRequestLine, (414, "The request line is too long")),
    (errors.LimitRequestHeaders, (431, "The headers are too large")),
    (errors.UnsupportedTransferCoding, (501, "Unknown transfer coding")),
    (errors.ExpectationFailed, (417, "Unknown expectation")),
    (errors.ParseException, (400, "The request is not HTTP")),
)


class ApiThreadWorker(ThreadWorker):  # type: ignore[misc]
    """Gunicorn's threaded worker, with problem bodies instead of HTML for malformed requests."""

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

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Close the connection afterwards if the body may be too long to discard."""
        length = next((text for name, text in req.headers if name == "CONTENT-LENGTH"), "0")
        is_chunked = any(name == "TRANSFER-ENCODING" for name, _ in req.headers)
        if is_chunked or int(length) > MAX_DISCARDED_BYTES:
            req.force_close()
        return super().handle_request(req, conn)

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: Exception) -> None:
        """Write a response to the socket: there is no parsed request to pass to the app."""
        matches = (match for kind, match in PARSE_ERROR_RESPONSES if isinstance(exc, kind))
        status, title = next(matches, (500, "Something went wrong here"))
        details = {"status": status, "error": repr(exc), "exc_info": exc if status == 500 else None}
        logs.get_logger("api").warning("request not read", **details)
        body = json.dumps({"type": URN_PREFIX + "unreadable", "title": title, "status": status})
        head = (
            f"HTTP/1.1 {status} {title}\r\nConnection: close\r\n"
            f"Content-Type: {PROBLEM_MEDIA_TYPE}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        try:
            util.write_nonblock(client, (head + body).encode())
        except OSError:
            return  # the client has gone


class GunicornServer(BaseApplication):  # type: ignore[misc]
    """A gunicorn server whose workers share an app and open their connections after the fork."""

    def __init__(self, settings: Settings, create_app: Callable[[], Flask]) -> None:
        self._settings, self._create_app = settings, create_app
        # each process writes its counts into files here, and any of them can report the sum
        self._metrics_folder = tempfile.mkdtemp(prefix="tickforge-metrics-")
        os.environ[metrics.MULTIPROCESS_FOLDER_VARIABLE] = self._metrics_folder
        super().__init__()

    def load_config(self) -> None:
        """Set what differs from gunicorn's defaults."""
        settings = self._settings
        is_inherited = settings.api_fd is not None
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        options = {
            "bind": f"fd://{settings.api_fd}" if is_inherited else f"{host}:{settings.port}",
            "worker_class": ApiThreadWorker,
            "preload_app": True,
            "workers": settings.api_processes,
            "threads": settings.api_threads,
            # idle connections take no thread
            "worker_connections": 4 * settings.api_threads + 1000,
            "graceful_timeout": GRACEFUL_SECONDS,
            "keepalive": KEEPALIVE_SECONDS,
            "limit_request_line": 8190,
            "loglevel": "warning",
            "control_socket_disable": True,
            "proc_name": "tickforge-api",
            "post_worker_init": lambda worker: worker.wsgi.extensions[UPKEEP_EXTENSION].start(),
            "child_exit": lambda _arbiter, worker: metrics.forget_process(worker.pid),
            "on_exit": lambda _arbiter: shutil.rmtree(self._metrics_folder, ignore_errors=True),
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """Create the app, once, before the workers are forked."""
        app = self._create_app()
        gc.collect()
        gc.freeze()  # what a collection does not look at stays shared
        return app
