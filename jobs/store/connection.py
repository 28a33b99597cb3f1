"""Connections to the store, and the settings that it must have. Knows no key and no job."""

import time
from typing import Any

import redis
from redis import exceptions
from redis.backoff import NoBackoff
from redis.connection import Connection, parse_url
from redis.driver_info import DriverInfo
from redis.retry import Retry

from jobs.errors import UnsafeStore

# The names of redis-py that others may use: no file outside jobs/store imports it.

#: a client of the store
Store = redis.Redis
#: raised while a server is gone, restarting or still loading its file
UNAVAILABLE = (exceptions.ConnectionError, exceptions.TimeoutError, exceptions.BusyLoadingError)
#: raised at a connection's start for a wrong user, password or database
REFUSALS = (exceptions.AuthenticationError, exceptions.AuthorizationError, exceptions.ResponseError)
#: raised by a command while the server has no memory left; a script raises StoreFull instead
OutOfMemory = exceptions.OutOfMemoryError
#: raised for a command that the server refuses
CommandError = exceptions.ResponseError
#: raised for any of these
StoreError = exceptions.RedisError
#: what a connection tells the server of its client; by default each one parses redis-py's metadata
DRIVER = DriverInfo()
COMMAND_TIMEOUT_SECONDS = 4.0  # clients must learn of a dead store within 5 s
MIN_VERSION = (7, 0)

#: {CONFIG name: (required value, reason)}
REQUIRED_CONFIG = {
    "maxmemory-policy": ("noeviction", "any other policy throws away acknowledged jobs"),
    "appendonly": ("yes", "without it a restart loses every job"),
    "appendfsync": ("always", "a power cut would lose jobs that were acknowledged"),
}


def connect(url: str, *, blocking: bool = False) -> Store:
    """Make a client, not yet connected. A `blocking` one waits for replies without limit."""
    seconds = None if blocking else COMMAND_TIMEOUT_SECONDS
    return redis.Redis.from_url(
        url,
        socket_timeout=seconds,
        socket_connect_timeout=COMMAND_TIMEOUT_SECONDS,
        # reconnect once where the server has closed the connection; a timeout is not retried
        retry=Retry(NoBackoff(), 1, supported_errors=(exceptions.ConnectionError,)),
        health_check_interval=0,
        driver_info=DRIVER,
    )


def connection_options(url: str) -> dict[str, Any]:
    """Return an address as keyword arguments of redis-py's connection pool."""
    defaults = {"connection_class": Connection, "db": 0, "driver_info": DRIVER}
    return {**defaults, **parse_url(url)}  # type: ignore[no-untyped-call]


def ping(store: Store, *, variable: str = "TICKFORGE_REDIS_URL") -> None:
    """Send one command. Raises one of UNAVAILABLE.

    Raises UnsafeStore, naming the variable of the address, where the server answers that user,
    password or database are wrong: that does not pass by waiting.
    """
    try:
        store.ping()
    except REFUSALS as error:
        raise UnsafeStore(f"{variable}: the server refuses this address: {error}") from None


def wait_ready(store: Store, seconds: float, *, variable: str = "TICKFORGE_REDIS_URL") -> bool:
    """Wait up to `seconds` until the store answers; return whether it does. Raises UnsafeStore."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            ping(store, variable=variable)
            return True
        except UNAVAILABLE:
            if time.monotonic() > deadline:
                return False
        time.sleep(0.05)


def read_clock_ms(store: Store) -> int:
    """Return the store's time in ms since the epoch, which all stored times are of."""
    seconds, micros = store.time()
    return int(seconds) * 1000 + int(micros) // 1000


def check_store(store: Store, *, unchecked: bool = False) -> None:
    """Raise UnsafeStore, with the reason, if this server would lose jobs.

    `unchecked` (TICKFORGE_STORE_UNCHECKED=1) is for servers that refuse CONFIG: only the version
    is checked, and the operator is responsible for the settings.
    """
    _check_version(store)
    if unchecked:
        return
    for name, (required, why) in REQUIRED_CONFIG.items():
        if (value := _read_config(store, name)) != required:
            raise UnsafeStore(f"the store has {name}={value}, needed is {required}: {why}")


def _check_version(store: Store) -> None:
    server_info: dict[str, Any] = store.info("server")
    version = str(server_info.get("valkey_version") or server_info["redis_version"])
    if tuple(map(int, version.split(".")[:2])) < MIN_VERSION:
        raise UnsafeStore(f"the store is version {version}, needed is 7.0 or newer")


def _read_config(store: Store, name: str) -> str:
    try:
        config: dict[str, str] = store.config_get(name)  # type: ignore[assignment]
    except CommandError as error:
        raise UnsafeStore(
            f"the store does not tell {name} ({error}); if you know that its settings are "
            "maxmemory-policy noeviction, appendonly yes, appendfsync always, "
            "set TICKFORGE_STORE_UNCHECKED=1"
        ) from error
    return next(iter(config.values()), "unknown")
