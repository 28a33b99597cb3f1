"""How far the export of a job is, kept beside it in `.tickforge.json`. Knows no HTTP, no format.

The file is written after the export, so that a process which is killed leaves at worst bytes that
the next one writes again.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from tickforge_client.errors import ExportError

try:
    import fcntl
except ImportError:  # not on Windows: there nothing keeps two processes from one folder
    fcntl = None  # type: ignore[assignment]

STATE_FILE, LOCK_FILE = ".tickforge.json", ".tickforge.lock"
#: characters of an id by which the folders of jobs with one name differ
ID_END = 6
LOCK_POLL_SECONDS = 0.05
MAX_LABEL = 80  # characters of a name in that of a folder


@dataclass(frozen=True)
class Export:
    """The export of a job: the first `bytes` bytes of `file` have what is there up to `tick`."""

    job_id: str
    tracker: str
    query: str  # what was asked for, beside the ticks
    folder: Path
    file: str = ""
    bytes: int = 0
    tick: int = 0
    etag: str | None = None
    is_complete: bool = False  # the job has ended, and nothing more will come

    @property
    def path(self) -> Path:
        """The exported file."""
        return self.folder / self.file

    @property
    def is_whole(self) -> bool:
        """Whether the file still has what was written."""
        return self.path.is_file() and self.path.stat().st_size >= self.bytes

    def save(self) -> None:
        """Write the state: all of it or nothing."""
        fields = {**asdict(self), "folder": None}
        with new_version(self.folder / STATE_FILE) as part:
            part.write_text(json.dumps(fields))


def find_export(directory: Path, job_id: str, name: str, tracker: str, query: str) -> Export:
    """Return the export of a job in a directory, or one that has nothing yet.

    It has nothing, too, where other columns were asked for, or the file is shorter than it was.
    Raises ExportError.
    """
    states = (_read_state(path, job_id) for path in sorted(directory.glob(f"*/{STATE_FILE}")))
    known = [export for export in states if export is not None]
    for export in known:
        if (export.job_id, export.tracker) == (job_id, tracker):
            is_current = export.query == query and export.is_whole
            return export if is_current else Export(job_id, tracker, query, export.folder)
    label = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.")[:MAX_LABEL]
    folder = directory / (f"{label}-{job_id[-ID_END:]}" if label else job_id)
    if any(export.folder == folder for export in known):
        folder = directory / job_id  # two jobs of one name, and one end of their ids
    return Export(job_id, tracker, query, folder)


def _read_state(path: Path, job_id: str) -> Export | None:
    """Return the state in a file; None where it is unusable, and that of another job's folder."""
    try:
        return Export(**{**json.loads(path.read_text()), "folder": path.parent})
    except (ValueError, TypeError) as error:
        if not path.parent.name.endswith(job_id[-ID_END:]):
            return None
        rule = f"{path} is not what an export of this version leaves ({error})"
        raise ExportError(f"{rule}: remove {path.parent}, and export again") from error


@asynccontextmanager
async def lock_folder(
    folder: Path, sleep: Callable[[float], Awaitable[None]]
) -> AsyncIterator[None]:
    """Make a folder, and keep other exports from it; wait for one that is at work in it.

    It looks again and again: a wait in the system would stop an event loop, and with it the other
    export, if that is of the same program.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK_FILE).open("ab") as file:
        while not _try_lock(file):
            await sleep(LOCK_POLL_SECONDS)
        yield


def _try_lock(file: BinaryIO) -> bool:
    try:
        if fcntl is not None:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def new_version(path: Path) -> Iterator[Path]:
    """Yield where to write a file, which others then see whole or not at all."""
    part = path.with_name(f"{path.name}.part")
    yield part
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(path)
