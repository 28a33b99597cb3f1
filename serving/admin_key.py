"""A data folder's admin key, and the config file of the local user's client. Prints nothing."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from contextlib import closing
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import urlsplit

from jobs.settings import MIN_ADMIN_KEY_LENGTH

ANSWER_TIMEOUT = 2.0  # seconds, of a service that may be running on this machine
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


class BadKeyFile(Exception):
    """The key file is readable by others or too short."""


def load_or_create_key(folder: Path) -> str:
    """Return the key in `folder`/admin.key, created there first (mode 600). Raises BadKeyFile."""
    path = folder / "admin.key"
    if not path.exists():
        _write_private(path, secrets.token_urlsafe(32) + "\n")
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        detail = f"{path} is open to other users (mode {mode:o}): chmod 600 it or delete it"
        raise BadKeyFile(detail)
    key = path.read_text().strip()
    if len(key) < MIN_ADMIN_KEY_LENGTH:
        raise BadKeyFile(f"{path} holds fewer than {MIN_ADMIN_KEY_LENGTH} characters: delete it")
    return key


def client_config_path(environ: Mapping[str, str]) -> Path:
    """Return the client's config file: $XDG_CONFIG_HOME/tickforge/config.json."""
    home = environ.get("XDG_CONFIG_HOME")
    return (Path(home) if home else Path.home() / ".config") / "tickforge" / "config.json"


def write_client_config(path: Path, url: str, key: str) -> str | None:
    """Write the client's config file, or keep it and return what it names.

    It is kept if it names another machine, or another service of this one that answers.
    """
    if path.exists() and (configured := _read_url(path)) != url:
        is_local = urlsplit(configured).hostname in _LOOPBACK
        if not is_local or _answers(configured):
            return configured
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    _write_private(path, json.dumps({"url": url, "key": key}) + "\n")
    return None


def _read_url(path: Path) -> str:
    """Return the file's URL, or its path where it has none: then we did not write it."""
    try:
        return str(json.loads(path.read_text())["url"])
    except (ValueError, KeyError, TypeError):
        return str(path)


def _answers(url: str) -> bool:
    """Return whether a service answers at a URL of this machine."""
    try:
        address = urlsplit(url)
        connection = HTTPConnection(address.hostname or "", address.port, timeout=ANSWER_TIMEOUT)
        with closing(connection):
            connection.request("GET", "/healthz")
            return connection.getresponse().status == HTTPStatus.OK
    except (OSError, ValueError, HTTPException):
        return False


def _write_private(path: Path, text: str) -> None:
    """Write a file atomically, with mode 600."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
