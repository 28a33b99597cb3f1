"""One archive file of one job while it is written: what is new of its history, then its record.

Appended to, so that a checkpoint costs what is new since the one before. A crash between two
records leaves a tail that never counts; who goes on begins a file of his own.
"""

import base64
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

from jobs import fault_points
from jobs.archive.lines import Lines, Spelled, spell
from jobs.files import Files
from jobs.snapshot import Flat, Snapshot

LONG = 1024  # bytes; a longer field is written when it is new, not with each record
LONGEST = 64 << 20  # bytes of a file; then another is begun

News = dict[str, bytes]  # part of the history (its name) -> what is new of it


class Volume:
    """A file of archive/<version>.jsonl in a job's folder, begun with a snapshot's version."""

    def __init__(self, files: Files, tenant: str, job_id: str, snapshot: Snapshot) -> None:
        self._files = files
        self.moved = snapshot.moved  # the open part of a history is that behind these segments
        self.path = volume_path(files, tenant, job_id, snapshot.version, "jsonl")
        self.have: dict[str, int] = {}  # bytes of each part that are in it
        self.events = 0  # number of the newest event in it
        self.length = 0
        self._lines, self._long = Lines(), dict[str, bytes]()

    def fits(self, snapshot: Snapshot) -> bool:
        """Whether this snapshot can be added here."""
        return self.moved == snapshot.moved and self.length < LONGEST

    def add(self, snapshot: Snapshot, news: News) -> None:
        """Append what is new and a record, on disk when this returns; after an error begin anew."""
        text = b"" if self.length else self._lines.first("job")
        text += b"".join(self._news(snapshot, news)) + self._lines.record(self._record(snapshot))
        if self.length:
            append(self.path, text, at=self.length)
        else:  # whole under its name, or not there
            self._files.write(self.path, text)
        self.length += len(text)
        for name, data in news.items():
            self.have[name] = self.have.get(name, 0) + len(data)

    def _news(self, snapshot: Snapshot, news: News) -> list[bytes]:
        add, lines = self._lines.add, []
        for name, data in news.items():
            if data:
                lines.append(add({"part": name, "base64": base64.b64encode(data).decode()}))
        for name, value in snapshot.fields.items():
            if len(value) > LONG and self._long.get(name) != value:
                self._long[name] = value
                lines.append(add({"field": name, "value": spell(value)}))
        for event in snapshot.events:
            lines.append(add({"event": spell(event)}))
        dropped = int(snapshot.fields.get("events_dropped", b"0"))
        self.events = max(self.events, dropped) + len(snapshot.events)
        return lines

    def _record(self, snapshot: Snapshot) -> dict[str, Any]:
        return record_of(snapshot, without=self._long)


def record_of(snapshot: Snapshot, *, without: Collection[str]) -> dict[str, Any]:
    """What a record line says of a job, but for the fields that stand in lines of their own."""
    short = {name: spell(value) for name, value in snapshot.fields.items() if name not in without}
    return {
        "version": snapshot.version,
        "fields": short,
        "hashes": {name: _spelled(told) for name, told in snapshot.hashes.items()},
        "removed": [spell(each) for each in snapshot.removed],
        "audit": [spell(each) for each in snapshot.audit],
        "attempts": [_spelled(each) for each in snapshot.attempts],
    }


def text_of(snapshot: Snapshot) -> bytes:
    """A whole file of one snapshot of a job that has no history yet."""
    lines = Lines()
    text = lines.first("job") + b"".join(lines.add({"event": spell(e)}) for e in snapshot.events)
    return text + lines.record(record_of(snapshot, without=()))


def home(files: Files, tenant: str, job_id: str) -> Path:
    """The folder of a job's archive files."""
    return files.job(tenant, job_id) / "archive"


def volume_path(files: Files, tenant: str, job_id: str, version: int, ending: str) -> Path:
    """Where the file lies that begins with this version of a job."""
    return home(files, tenant, job_id) / f"{version:09d}.{ending}"


def append(path: Path, data: bytes, *, at: int) -> None:
    """Add bytes to a file of `at` bytes, on disk when this returns."""
    with path.open("r+b") as file:
        file.seek(at)
        fault_points.point("archive:write")
        file.write(data)
        file.flush()
        fault_points.point("archive:fsync")
        os.fsync(file.fileno())


def _spelled(told: Flat) -> dict[str, Spelled]:
    return {name: spell(value) for name, value in told.items()}
