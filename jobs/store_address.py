"""Addresses of a store or broker: what may stand in one, and what of it may be shown.

An address may hold a password, in its userinfo or as an option. So no rule that is raised here, and
nothing that `describe_address` returns, repeats any part of it but host, port and path. Opens
nothing; redis-py parses the address itself, with the meanings that are checked here.
"""

import os
import re
from collections.abc import Callable
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

SCHEMES = ("redis", "rediss", "unix")
DEFAULT_PORT = 6379
#: lengths of number options that redis-py reads with int()
MAX_DIGITS = 6
#: an address without a place for a password
PLAIN_ADDRESS = re.compile(r"[a-z0-9+]+://[A-Za-z0-9.-]*(:[0-9]{1,5})?/?")

Check = Callable[[str], bool]


class BadAddress(ValueError):
    """An address that is not accepted; the message is the rule, without the address."""


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS


def _is_word(text: str) -> bool:
    return text.isprintable() and " " not in text


#: name -> (check of its value, rule). All mean the same for the store's client and for Celery's.
OPTIONS: dict[str, tuple[Check, str]] = {
    "db": (_is_number, "a number"),
    "username": (bool, "a name"),
    "password": (bool, "a text"),
    "client_name": (_is_word, "printable characters without spaces"),
    "protocol": (("2", "3").__contains__, "2 or 3"),
    "health_check_interval": (_is_number, "whole seconds"),
}
#: those of rediss:// alone
TLS_OPTIONS: dict[str, tuple[Check, str]] = {
    "ssl_cert_reqs": (("none", "optional", "required").__contains__, "none, optional or required"),
    "ssl_check_hostname": (("true", "false").__contains__, "true or false"),
    "ssl_ca_certs": (os.path.isfile, "the path of a file"),
    "ssl_ca_path": (os.path.isdir, "the path of a folder"),
    "ssl_certfile": (os.path.isfile, "the path of a file"),
    "ssl_keyfile": (os.path.isfile, "the path of a file"),
    "ssl_password": (bool, "a text"),
}


def check_address(address: str) -> None:
    """Raise BadAddress, with the rule, unless every part of an address is one that is read."""
    parts = _split(address)
    options = _read_options(parts)
    given_twice = {"username": parts.username, "password": parts.password}
    if parts.scheme == "unix":
        if parts.hostname or not unquote(parts.path).startswith("/"):
            raise BadAddress("unix:// is followed by an absolute path, so by three slashes")
    else:
        _check_host(parts)
        given_twice["db"] = _database_of_path(parts)
    for name, elsewhere in given_twice.items():
        if elsewhere and name in options:
            raise BadAddress(f"{name} is given twice")


def describe_address(address: str) -> str:
    """Return host and port, or the path, of a checked address: what an operator knows it by."""
    parts = _split(address)
    if parts.scheme == "unix":
        return unquote(parts.path)
    host = unquote(parts.hostname or "localhost")
    return f"[{host}]:{_port(parts)}" if ":" in host else f"{host}:{_port(parts)}"


def describe_refused(address: str) -> str:
    """Return an address that is not accepted, or its scheme if a password may stand in the rest."""
    scheme = address.partition("://")[0] if "://" in address else ""
    is_scheme = scheme.isascii() and scheme.replace("+", "").isalnum()
    if PLAIN_ADDRESS.fullmatch(address):
        return address
    return f"{scheme}://…" if is_scheme else "…"


def unix_address(path: os.PathLike[str]) -> str:
    """Return the address of a server that listens on a unix socket."""
    return f"unix://{quote(os.fspath(path))}"


def _split(address: str) -> SplitResult:
    if not address.isprintable() or " " in address:  # urlsplit would drop some of them
        raise BadAddress("spaces and control characters are written as %20 and so on")
    try:
        parts = urlsplit(address)
        _port(parts)
    except ValueError:  # its text repeats the address
        raise BadAddress(
            "host and port are not readable; in a username or password the characters "
            "/ ? # [ ] @ : % are written as %2F and so on"
        ) from None
    if parts.scheme not in SCHEMES or not address.startswith(f"{parts.scheme}://"):
        raise BadAddress("redis://, rediss:// or unix:// followed by where the server is")
    if parts.fragment or address.endswith("#"):
        raise BadAddress("# does not belong into an address; in a password it is written as %23")
    if not (parts.netloc or parts.path.strip("/")):
        raise BadAddress("redis://, rediss:// or unix:// followed by where the server is")
    return parts


def _port(parts: SplitResult) -> int:
    return parts.port or DEFAULT_PORT


def _check_host(parts: SplitResult) -> None:
    if not re.fullmatch(r"[\w.:%-]*", unquote(parts.hostname or "")):
        raise BadAddress("the host is a name or a number")
    if (database := _database_of_path(parts)) and not _is_number(database):
        raise BadAddress("after the host only the number of a database may follow: /0")


def _database_of_path(parts: SplitResult) -> str:
    return parts.path.removeprefix("/")


def _read_options(parts: SplitResult) -> dict[str, str]:
    known = {**OPTIONS, **TLS_OPTIONS} if parts.scheme == "rediss" else OPTIONS
    options: dict[str, str] = {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name in options:
            raise BadAddress(f"{name} is given twice")
        if name in TLS_OPTIONS and name not in known:
            raise BadAddress(f"{name} is for rediss:// alone")
        if name not in known:
            raise BadAddress(
                f"the options after ? are {', '.join(known)}; "
                "timeouts and retries are the service's own, and & in a password is written as %26"
            )
        check, rule = known[name]
        if not check(value):
            raise BadAddress(f"{name} is {rule}")
        options[name] = value
    return options
