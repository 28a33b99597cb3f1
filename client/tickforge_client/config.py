"""The server's address and key, from flags, environment or config file. Opens no connection.

`serve.py` writes the config file for the local user: {"url": …, "key": …}.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from tickforge_client.errors import NotConfigured

DEFAULT_URL = "http://127.0.0.1:8000"


@dataclass(frozen=True)
class Server:
    """The address of a server and an access key for it."""

    url: str
    key: str = field(repr=False)


def resolve_server(url: str | None, key: str | None, environ: Mapping[str, str]) -> Server:
    """Return the server to use: arguments first, then `environ`, then the config file.

    The config file's key is sent to that file's server only, never to one named otherwise.
    Raises NotConfigured.
    """
    path = config_path(environ)
    configured = _read_config(path)
    url = url or environ.get("TICKFORGE_URL") or (configured.url if configured else DEFAULT_URL)
    key = key or environ.get("TICKFORGE_KEY")
    if not key and configured and configured.url.rstrip("/") == url.rstrip("/"):
        key = configured.key
    if not key:
        raise NotConfigured(
            f"no key for {url}: give --key, set TICKFORGE_KEY, or start serve.py on this machine "
            f"(it writes {path})"
        )
    return validate(url, key)


def validate(url: str, key: str) -> Server:
    """Return a Server if address and key are well-formed. Raises NotConfigured."""
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname)
        _ = parts.port
    except ValueError:
        is_usable = False
    if not is_usable or parts.query or parts.fragment or parts.username:
        raise NotConfigured(f"not a server's address: {url!r} (http://HOST:PORT is accepted)")
    key = key.strip()
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise NotConfigured("the key holds characters that no key has")
    return Server(url.rstrip("/"), key)


def config_path(environ: Mapping[str, str]) -> Path:
    """Return the config file's path: $XDG_CONFIG_HOME/tickforge/config.json."""
    home = environ.get("XDG_CONFIG_HOME")
    return (Path(home) if home else Path.home() / ".config") / "tickforge" / "config.json"


def _read_config(path: Path) -> Server | None:
    try:
        config = json.loads(path.read_text())
        return Server(str(config["url"]), str(config["key"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        form = '{"url": …, "key": …}'
        raise NotConfigured(f"{path} cannot be read ({error}): it should hold {form}") from error
