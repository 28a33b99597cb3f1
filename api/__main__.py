"""Run the API alone, on the store at TICKFORGE_REDIS_URL: `python -m api`."""

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from importlib import import_module

from jobs.python_version import require_python

require_python()

from api import metrics
from api.app import create_app
from api.server import GunicornServer
from jobs import fault_points, logs
from jobs.allocator import limit_unused_memory
from jobs.errors import InvalidSetting, UnsafeStore
from jobs.files.artifacts import ArtifactStore, hide_new_files
from jobs.log_lines import LineLog, read_log_format
from jobs.settings import Settings
from jobs.startup import prepare_store
from jobs.store.connection import check_store, connect, wait_ready
from jobs.store_address import describe_address

#: what gunicorn imports by name
GUNICORN_MODULES = ("gunicorn.glogging", "gunicorn.workers.gthread")
STARTUP_ERROR_EXIT_CODE = 2
STORE_STARTUP_TIMEOUT_SECONDS = 60.0  # a store may have a large file to load


def preload() -> None:
    """Import what the API would otherwise import when it starts."""
    metrics.preload()
    for module in GUNICORN_MODULES:
        import_module(module)


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Serve until SIGTERM. Returns 2, with the reason on stderr, if the service cannot start."""
    hide_new_files()
    limit_unused_memory()
    try:
        settings = Settings.from_env(environ)
        logs.configure_logging(settings.log_format)
        if fault_points.is_armed():
            logs.get_logger("api").warning(fault_points.ARMED_WARNING)
        _check_startup(settings)
    except (InvalidSetting, UnsafeStore) as error:
        LineLog("api", read_log_format(environ)).error(str(error))
        return STARTUP_ERROR_EXIT_CODE
    GunicornServer(settings, lambda: create_app(settings)).run()
    return 0


def _check_startup(settings: Settings) -> None:
    """Wait for the store and check it. Raises InvalidSetting or UnsafeStore.

    A restarted API does not wait: connections queue on the socket that it inherits, and are to be
    told that the store is away. Whoever gave it the socket has checked the store.
    """
    if settings.admin_key is None:
        raise InvalidSetting("TICKFORGE_ADMIN_KEY is not set: without it nobody could sign in")
    store = connect(settings.redis_url)
    try:
        seconds = STORE_STARTUP_TIMEOUT_SECONDS if settings.api_fd is None else 0
        for variable, url in settings.servers.items():
            if not _wait_for_server(variable, url, seconds):
                return
        check_store(store, unchecked=settings.store_unchecked)
        prepare_store(store, ArtifactStore(settings.artifacts), settings)
    finally:
        store.close()


def _wait_for_server(variable: str, url: str, seconds: float) -> bool:
    """Wait until the store, or the broker, answers. Raises UnsafeStore; with 0 s it is False."""
    with closing(connect(url)) as client:
        if wait_ready(client, 1, variable=variable):
            return True
        address = describe_address(url)
        logs.get_logger("api").warning("waiting for the store", at=address)
        if seconds > 0 and not wait_ready(client, seconds, variable=variable):
            raise UnsafeStore(f"the store at {address} does not answer ({variable})")
    return seconds > 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
