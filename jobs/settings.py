"""The only reader of TICKFORGE_ variables, TICKFORGE_FAULTS of jobs/fault_points.py excepted.

Opens nothing.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import partial
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from jobs.errors import InvalidSetting
from jobs.store_address import BadAddress, check_address, describe_refused

MIN_ADMIN_KEY_LENGTH = 32  # characters; a shorter one could be guessed
MAX_PARAMETERS = 2_000_000_000
PREFIX = "TICKFORGE_"
#: serve.py's, the client's, and those of fault points
OTHER_VARIABLES = frozenset(PREFIX + name for name in ("WORKERS", "GPUS", "URL", "KEY", "FAULTS"))
HOST_NAME = re.compile(r"(?=.*[a-z])[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?")
Environ = Mapping[str, str]
Network = IPv4Network | IPv6Network


@dataclass(frozen=True)
class Settings:
    """All settings with their values; the README lists them with their defaults."""

    redis_url: str = field(repr=False)  # may hold a password
    broker_url: str = field(repr=False)
    artifacts: Path
    admin_key: str | None = field(repr=False)
    lease_seconds: float
    stall_seconds: float
    max_failing_saves_seconds: float
    trainer_memory_bytes: int  # 0: that of the machine or container
    max_parameters: int
    min_free_bytes: int
    log_format: str
    store_unchecked: bool
    host: str = "127.0.0.1"
    port: int = 8000
    api_fd: int | None = None  # a listening socket that `python -m api` inherits
    api_processes: int = 2
    api_threads: int = 256  # of each process
    rate_limit: float = 1000  # requests/s of each access key; 0: no limit
    max_queued: int = 10_000  # queued jobs of one tenant
    max_dataset_bytes: int = 10 << 30  # of one upload
    max_connections: int = 10_000  # of each process of the API
    head_seconds: float = 10  # for a request's line and headers
    body_seconds: float = 30  # for a JSON body; for each 256 KiB of an upload
    write_seconds: float = 30  # for each 256 KiB of an answer
    trusted_proxies: tuple[Network, ...] = ()  # whose forwarded headers count
    answer_seconds: float = 600  # that an answer is kept
    answer_memory_bytes: int = 1 << 30  # of the nets that an answering process keeps
    max_queued_answers: int = 1000  # of one tenant
    max_answer_bytes: int = 256 << 20  # of one tenant's answers in the store
    max_result_bytes: int = 1 << 30  # of the predictions of one dataset
    default_quotas: Mapping[str, int] = field(default_factory=dict)  # of a tenant without its own
    #: variables that look like settings and are none, with the setting that each resembles
    unknown_variables: Mapping[str, str | None] = field(default_factory=dict)
    webhook_hosts: tuple[str, ...] = ()  # that may be called though private
    webhook_networks: tuple[Network, ...] = ()  # likewise

    @property
    def servers(self) -> dict[str, str]:
        """Return the addresses of store and broker by their variables: one if they are equal."""
        store = {"TICKFORGE_REDIS_URL": self.redis_url}
        has_broker = self.broker_url != self.redis_url
        return {**store, "TICKFORGE_BROKER_URL": self.broker_url} if has_broker else store

    @classmethod
    def from_env(cls, environ: Environ) -> "Settings":
        """Read and check all variables. Raises InvalidSetting for the first that is invalid."""
        environ = _ObservedEnviron(environ)
        settings = cls._read(environ)
        return replace(settings, unknown_variables=environ.find_unknown())

    @classmethod
    def _read(cls, environ: Environ) -> "Settings":
        redis_url = _read_url(environ, "TICKFORGE_REDIS_URL", None)
        number, integer = partial(_read_number, environ), partial(read_integer, environ)
        return cls(
            redis_url=redis_url,
            broker_url=_read_url(environ, "TICKFORGE_BROKER_URL", redis_url),
            artifacts=_read_artifacts_folder(environ),
            admin_key=_read_admin_key(environ),
            lease_seconds=number("TICKFORGE_LEASE_SECONDS", 15, 1, 3600),
            stall_seconds=number("TICKFORGE_STALL_SECONDS", 600, 1, 86_400),
            max_failing_saves_seconds=number("TICKFORGE_DISK_PATIENCE_SECONDS", 120, 0, 86_400),
            trainer_memory_bytes=integer("TICKFORGE_TRAINER_MEMORY_BYTES", 0, 0, 10**15 - 1),
            max_parameters=int(number("TICKFORGE_MAX_PARAMETERS", MAX_PARAMETERS, 1, 1e12)),
            min_free_bytes=int(number("TICKFORGE_MIN_FREE_BYTES", 64 << 20, 0, 1e15)),
            log_format=_read_choice(environ, "TICKFORGE_LOG_FORMAT", "text", ("json", "text")),
            store_unchecked=_read_choice(environ, "TICKFORGE_STORE_UNCHECKED", "0", ("0", "1"))
            == "1",
            host=environ.get("TICKFORGE_HOST") or "127.0.0.1",
            port=integer("TICKFORGE_PORT", 8000, 0, 65_535),
            api_fd=_read_api_fd(environ),
            api_processes=integer("TICKFORGE_API_PROCESSES", 2, 1, 64),
            api_threads=integer("TICKFORGE_API_THREADS", 256, 8, 4096),
            rate_limit=number("TICKFORGE_RATE_LIMIT", 1000, 0, 1e6),
            max_queued=integer("TICKFORGE_MAX_QUEUED", 10_000, 1, 10**9),
            max_dataset_bytes=integer("TICKFORGE_MAX_DATASET_BYTES", 10 << 30, 1, 10**15 - 1),
            answer_seconds=number("TICKFORGE_ANSWER_SECONDS", 600, 1, 86_400),
            answer_memory_bytes=integer("TICKFORGE_ANSWER_MEMORY_BYTES", 1 << 30, 0, 10**15 - 1),
            max_queued_answers=integer("TICKFORGE_MAX_QUEUED_ANSWERS", 1000, 1, 10**6),
            max_answer_bytes=integer("TICKFORGE_MAX_ANSWER_BYTES", 256 << 20, 1 << 20, 10**12),
            max_result_bytes=integer("TICKFORGE_MAX_RESULT_BYTES", 1 << 30, 1 << 20, 10**15 - 1),
            default_quotas=_read_default_quotas(environ),
            max_connections=integer("TICKFORGE_MAX_CONNECTIONS", 10_000, 100, 1_000_000),
            head_seconds=number("TICKFORGE_HEAD_SECONDS", 10, 0.1, 3600),
            body_seconds=number("TICKFORGE_BODY_SECONDS", 30, 0.1, 3600),
            write_seconds=number("TICKFORGE_WRITE_SECONDS", 30, 0.1, 3600),
            trusted_proxies=_read_networks(environ, "TICKFORGE_TRUSTED_PROXIES"),
            **_read_callable_addresses(environ, "TICKFORGE_WEBHOOK_ALLOW"),
        )


class _ObservedEnviron(Mapping[str, str]):
    """An environment that remembers which variables were asked for: those are the settings."""

    def __init__(self, environ: Environ) -> None:
        self._environ = environ
        self._asked = set(OTHER_VARIABLES)

    def __getitem__(self, name: str) -> str:
        self._asked.add(name)
        return self._environ[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._environ)

    def __len__(self) -> int:
        return len(self._environ)

    def find_unknown(self) -> dict[str, str | None]:
        """Return the variables nobody asked for, each with the one that it resembles most."""
        names = [name for name in self if name.startswith(PREFIX) and name not in self._asked]
        closest = {name: get_close_matches(name, sorted(self._asked), 1, 0.8) for name in names}
        return {name: matches[0] if matches else None for name, matches in closest.items()}


def describe_unknown(name: str, similar: str | None) -> str:
    """Return the warning about a variable that is no setting; its value may be a secret."""
    hint = f"; did you mean {similar}?" if similar else "; the README lists the settings"
    return f"{name} is no setting and has no effect{hint}"


def _read_default_quotas(environ: Environ) -> dict[str, int]:
    """Return the quotas that are set, by name."""
    names = {
        "queued": "TICKFORGE_QUOTA_QUEUED",
        "running": "TICKFORGE_QUOTA_RUNNING",
        "spec_bytes": "TICKFORGE_QUOTA_SPEC_BYTES",
        "dataset_bytes": "TICKFORGE_QUOTA_DATASET_BYTES",
        "artifact_bytes": "TICKFORGE_QUOTA_ARTIFACT_BYTES",
    }
    return {
        quota: read_integer(environ, name, 0, 0, 10**15 - 1)
        for quota, name in names.items()
        if environ.get(name)
    }


def _invalid(name: str, value: str, rule: str) -> InvalidSetting:
    return InvalidSetting(f"{name}={value!r}: {rule}")


def _read_url(environ: Environ, name: str, default: str | None) -> str:
    value = environ.get(name) or default
    if value is None:
        raise InvalidSetting(f"{name} is not set: the address of a Redis or Valkey")
    try:
        check_address(value)
    except BadAddress as error:
        raise _invalid(name, describe_refused(value), str(error)) from None
    return value


def read_data_folder(environ: Environ) -> Path:
    """Return TICKFORGE_DATA_DIR, `data` by default, as an absolute path."""
    return Path(environ.get("TICKFORGE_DATA_DIR") or "data").absolute()


def _read_artifacts_folder(environ: Environ) -> Path:
    """Return TICKFORGE_ARTIFACTS_URL (file://…), or `artifacts` of TICKFORGE_DATA_DIR."""
    url = environ.get("TICKFORGE_ARTIFACTS_URL")
    if not url:
        return read_data_folder(environ) / "artifacts"
    parts = urlsplit(url)
    if parts.scheme != "file" or parts.netloc or not parts.path.startswith("/"):
        rule = "file:// and an absolute path"
        raise _invalid("TICKFORGE_ARTIFACTS_URL", describe_refused(url), rule)
    return Path(unquote(parts.path))


def _read_admin_key(environ: Environ) -> str | None:
    key = environ.get("TICKFORGE_ADMIN_KEY")
    if not key:
        return None
    if len(key) < MIN_ADMIN_KEY_LENGTH or not key.isascii() or not key.isprintable() or " " in key:
        raise InvalidSetting(
            f"TICKFORGE_ADMIN_KEY (a value of {len(key)} characters): "
            f"{MIN_ADMIN_KEY_LENGTH} or more printable ASCII characters without spaces"
        )
    return key


def _read_number(
    environ: Environ, name: str, default: float, minimum: float, maximum: float
) -> float:
    text = environ.get(name) or str(default)
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not minimum <= value <= maximum:
        raise _invalid(name, text, f"a number from {minimum:g} to {maximum:g}")
    return value


def read_integer(environ: Environ, name: str, default: int, minimum: int, maximum: int) -> int:
    """Read a whole number. Raises InvalidSetting outside of `minimum` to `maximum`."""
    text = environ.get(name) or str(default)
    if not (text.isascii() and text.isdigit() and minimum <= int(text[:18]) <= maximum):
        raise _invalid(name, text, f"a whole number from {minimum} to {maximum}")
    return int(text)


def _read_networks(environ: Environ, name: str) -> tuple[Network, ...]:
    """Read addresses and networks, separated by commas; none by default."""
    text = environ.get(name) or ""
    try:
        return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())
    except ValueError:
        rule = "IP addresses and networks, separated by commas: 10.0.0.5, 192.168.0.0/16"
        raise _invalid(name, text, rule) from None


def _read_callable_addresses(environ: Environ, name: str) -> dict[str, Any]:
    """Read the hosts, addresses and networks of webhooks that may be called though private."""
    hosts, networks = list[str](), list[Network]()
    for part in filter(None, map(str.strip, (environ.get(name) or "").split(","))):
        try:
            networks.append(ip_network(part))
        except ValueError:
            if not HOST_NAME.fullmatch(part.lower()):
                rule = (
                    "hosts, IP addresses and networks, separated by commas: hooks.local, 10.0.0.0/8"
                )
                raise _invalid(name, part, rule) from None
            hosts.append(part.lower())
    return {"webhook_hosts": tuple(hosts), "webhook_networks": tuple(networks)}


def _read_api_fd(environ: Environ) -> int | None:
    name = "TICKFORGE_API_FD"
    return read_integer(environ, name, 0, 3, 1 << 20) if environ.get(name) else None


def _read_choice(environ: Environ, name: str, default: str, choices: tuple[str, ...]) -> str:
    value = environ.get(name) or default
    if value not in choices:
        raise _invalid(name, value, "one of " + ", ".join(choices))
    return value
