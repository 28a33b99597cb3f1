"""Runs the rebuild of jobs.rebuild for the store that serve.py embeds.

`python -m serving.rebuild --data DIR` moves the old store's files aside, starts an empty store as
serve.py would, fills it and stops it. The data folder's lock keeps serve.py from running meanwhile.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from jobs import rebuild
from jobs.settings import read_data_folder
from jobs.store.connection import connect, wait_ready
from jobs.store_address import unix_address
from serving.embedded_store import ServerNotFound, find_server, server_command, socket_folder
from serving.lock import BadFolder, FolderInUse, data_folder_lock
from serving.parent_death import set_parent_death_signal

START_SECONDS = 10.0
STOP_SECONDS = 30.0


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Rebuild the embedded store of a data folder; exit codes are those of jobs.rebuild."""
    data = Path(_build_parser(read_data_folder(environ)).parse_args(argv).data).absolute()
    try:
        with (
            data_folder_lock(data) as lock,
            socket_folder(environ, data / "store.socket") as folder,
            _running_store(data, lock, folder / "store.sock", environ) as url,
        ):
            settings = {"TICKFORGE_DATA_DIR": str(data), "TICKFORGE_REDIS_URL": url}
            return rebuild.main((), {**environ, **settings})
    except (BadFolder, FolderInUse, ServerNotFound, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


@contextmanager
def _running_store(
    data: Path, lock: int, socket_path: Path, environ: Mapping[str, str]
) -> Iterator[str]:
    """Run an empty store in the data folder while the block lasts; yield its URL.

    Like serve.py's store, it inherits the folder's lock and ends with this process.
    """
    folder = data / "store"
    if folder.exists() and any(folder.iterdir()):
        old_folder = data / f"store.{int(time.time())}"
        folder.rename(old_folder)
        print(f"what was left of the store is in {old_folder} now")
    folder.mkdir(exist_ok=True, mode=0o700)
    command = server_command(find_server(environ.get("PATH")), folder, socket_path)
    parent = os.getpid()
    server = subprocess.Popen(
        command,
        cwd=folder,
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        pass_fds=(lock,),
        preexec_fn=lambda: set_parent_death_signal(parent, signal.SIGKILL),
    )
    try:
        with closing(connect(unix_address(socket_path))) as client:
            if not wait_ready(client, START_SECONDS):
                raise OSError("the store does not answer")
        yield unix_address(socket_path)
    finally:
        server.terminate()  # every write is fsynced already
        server.wait(STOP_SECONDS)


def _build_parser(data: Path) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m serving.rebuild",
        description="Build the store of serve.py again from the artifacts in its data folder, when "
        "its files are lost or damaged. What is left of them is moved aside, not removed.",
        allow_abbrev=False,
    )
    parser.add_argument("--data", metavar="DIR", default=data, help=f"data folder ({data})")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
