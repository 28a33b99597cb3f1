"""Gunicorn around the app: its options, and what it must not take from elsewhere."""

import gc
import os
import resource
from collections.abc import Callable

from flask import Flask
from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]

from api import metrics
from api.connections import MAX_REQUEST_LINE_BYTES
from api.dependencies import UPKEEP_EXTENSION
from api.thread_worker import ApiThreadWorker
from jobs.files.locked_folder import LockedFolder
from jobs.settings import Settings

#: not a beginning of the names of earlier builds, whose folders have no lock
METRICS_FOLDER_PREFIX = "tickforge-metrics-api-"
GRACEFUL_SECONDS = 5
KEEPALIVE_SECONDS = 30
#: a thread may have a file and a connection to the store open, beside its client
FILES_PER_THREAD, OTHER_FILES = 2, 64
#: gunicorn would take a prefix of all paths from it
SCRIPT_NAME_VARIABLE = "SCRIPT_NAME"


class GunicornServer(BaseApplication):  # type: ignore[misc]
    """A gunicorn server whose workers share an app and open their connections after the fork."""

    def __init__(self, settings: Settings, create_app: Callable[[], Flask]) -> None:
        self.settings, self._create_app = settings, create_app
        os.environ.pop(SCRIPT_NAME_VARIABLE, None)
        # each process writes its counts into files here, and any of them can report the sum
        self._metrics_folder = LockedFolder(METRICS_FOLDER_PREFIX)
        os.environ[metrics.MULTIPROCESS_FOLDER_VARIABLE] = str(self._metrics_folder.path)
        super().__init__()

    def load_config(self) -> None:
        """Set what differs from gunicorn's defaults."""
        settings = self.settings
        is_inherited = settings.api_fd is not None
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        options = {
            "bind": f"fd://{settings.api_fd}" if is_inherited else f"{host}:{settings.port}",
            "worker_class": ApiThreadWorker,
            "preload_app": True,
            "workers": settings.api_processes,
            "threads": settings.api_threads,
            "worker_connections": max_connections(
                settings.api_threads, raise_file_limit(), settings.max_connections
            ),
            "graceful_timeout": GRACEFUL_SECONDS,
            "keepalive": KEEPALIVE_SECONDS,
            "limit_request_line": MAX_REQUEST_LINE_BYTES,
            # api/forwarding.py decides whose headers count
            "forwarded_allow_ips": "",
            "forwarder_headers": "",
            "secure_scheme_headers": {},
            "loglevel": "warning",
            "control_socket_disable": True,
            "proc_name": "tickforge-api",
            "post_worker_init": lambda worker: worker.wsgi.extensions[UPKEEP_EXTENSION].start(),
            "child_exit": lambda _arbiter, worker: metrics.forget_process(worker.pid),
            "on_exit": lambda _arbiter: self._metrics_folder.remove(),
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """Create the app, once, before the workers are forked."""
        app = self._create_app()
        gc.collect()
        gc.freeze()  # what a collection does not look at stays shared
        return app


def raise_file_limit() -> int:
    """Raise the limit of open files to the hard one; return it, 0 for none."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return 0 if hard == resource.RLIM_INFINITY else hard


def max_connections(threads: int, max_files: int, wanted: int) -> int:
    """Return how many connections a process may have open, more than it has threads."""
    left = max_files - FILES_PER_THREAD * threads - OTHER_FILES if max_files else wanted
    return max(threads + OTHER_FILES, min(wanted, left))
