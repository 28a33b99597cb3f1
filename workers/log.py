"""A job's log file, written by its workers and its trainers. Knows paths; knows no store.

A log that cannot be written never harms its job.
"""

import contextlib
import os
from pathlib import Path

from jobs import logs
from jobs.files.artifacts import ArtifactStore, make_folder
from jobs.timestamps import now_rfc3339

#: bytes after which nothing more is written; the last line says so
MAX_LOG_BYTES = 16 << 20
#: characters of one entry; a traceback of a deep model is cut in its middle
MAX_ENTRY_CHARS = 8_000
#: the tail that a job's record quotes: lines, characters of each, bytes that are read for it
TAIL_LINES, TAIL_WIDTH, TAIL_BYTES = 32, 160, 16_384


class JobLog:
    """The open log of one job; `path` is None if it could not be opened."""

    def __init__(self, files: ArtifactStore, tenant: str, job_id: str) -> None:
        self.path: Path | None = None
        self._file: int | None = None
        with contextlib.suppress(OSError):
            path = files.job_folder(tenant, job_id) / "log.txt"
            make_folder(path.parent)
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._file = os.open(path, flags, 0o600)
            self.path = path

    def write(self, text: str) -> None:
        """Append an entry with a timestamp."""
        if self._file is None:
            return
        with contextlib.suppress(OSError):  # a full disk: the job matters more
            if os.fstat(self._file).st_size < MAX_LOG_BYTES:
                os.write(self._file, _format_entry(text))
            else:
                os.write(self._file, _format_entry(f"the log is full ({MAX_LOG_BYTES} bytes)"))
                self.close()

    def tail(self) -> str:
        """Return the last lines, with printable characters only; "" if there are none."""
        if self.path is None:
            return ""
        try:
            with self.path.open("rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL_BYTES))
                text = file.read(TAIL_BYTES).decode("utf-8", "replace")
        except OSError:
            return ""
        return "\n".join(map(_shorten, text.splitlines()[-TAIL_LINES:]))

    def close(self) -> None:
        """Close the file; later entries are dropped."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _shorten(line: str) -> str:
    text = logs.printable(line)
    return text if len(text) <= TAIL_WIDTH else f"{text[: TAIL_WIDTH - 1]}…"


def _format_entry(text: str) -> bytes:
    if len(text) > MAX_ENTRY_CHARS:
        half = MAX_ENTRY_CHARS // 2
        text = f"{text[:half]}\n…\n{text[-half:]}"
    return f"{now_rfc3339()} {text}\n".encode("utf-8", "backslashreplace")
