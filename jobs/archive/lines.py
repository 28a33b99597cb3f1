"""The form of an archive's files: lines of JSON, each record sealed with a digest of all before it.

The first line names schema and kind. Lines that add to something (a part of a history, a long
field, an event) follow; a record line makes all of them count. What stands behind the last record
was cut short by a crash and never counted. Knows no job.
"""

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from jobs.files import Files

SCHEMA = 1
Kind = Literal["job", "said", "key", "dataset", "secret", "gone", "store"]
Spelled = str | dict[str, str]  # bytes, as JSON has them
ADDS = ("part", "field", "event")  # what a line that adds says first


class BrokenArchive(Exception):
    """A file of the archive is not what was written, or not of a form that is known here."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path}: {why}")


class Lines:
    """The writing end of one file's lines; holds the digest, writes nothing itself."""

    def __init__(self) -> None:
        self._sha = hashlib.sha256()

    def first(self, kind: Kind) -> bytes:
        """The line that every file begins with."""
        return self.add({"schema": SCHEMA, "kind": kind})

    def add(self, value: dict[str, Any]) -> bytes:
        """A line that counts with the next record."""
        return self._taken(_json(value) + b"\n")

    def record(self, value: dict[str, Any]) -> bytes:
        """A line that makes itself and all before it count."""
        text = _json(value)
        sha = self._sha.copy()
        sha.update(text)
        sealed = b'{"record":' + text + b',"sha256":"' + sha.hexdigest().encode() + b'"}\n'
        return self._taken(sealed)

    def _taken(self, line: bytes) -> bytes:
        self._sha.update(line)
        return line


@dataclass(frozen=True)
class Text:
    """What one file says: its kind, its last record, and what the lines before that add."""

    path: Path
    kind: Kind
    record: dict[str, Any]
    added: list[dict[str, Any]]


def alone(kind: Kind, record: dict[str, Any]) -> bytes:
    """A whole file of one record."""
    lines = Lines()
    return lines.first(kind) + lines.record(record)


def read(files: Files, path: Path) -> Text:
    """Read a file up to its last record; raises BrokenArchive, or FileNotFoundError."""
    kind: Kind | None = None
    record: dict[str, Any] | None = None
    added: list[dict[str, Any]] = []
    counted, sha = 0, hashlib.sha256()
    for number, line in enumerate(_whole_lines(files, path), 1):
        value = _value(path, number, line)
        if number == 1:
            kind = _kind(path, value)
        elif "record" in value:
            record, counted = _record(path, number, value, sha.copy()), len(added)
        elif next(iter(value), None) in ADDS:
            added.append(value)
        else:
            raise BrokenArchive(path, f"line {number} is of no form that is known here")
        sha.update(line)
    if kind is None or record is None:
        raise BrokenArchive(path, "it holds no record")
    return Text(path, kind, record, added[:counted])


def spell(data: bytes) -> Spelled:
    """Bytes for JSON: as text where they are text, else base64."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def unspell(told: Spelled) -> bytes:
    """Read what `spell` wrote."""
    return told.encode() if isinstance(told, str) else base64.b64decode(told["base64"])


def unspell_all(told: dict[str, Any]) -> dict[str, bytes]:
    """Read a whole hash that was spelled."""
    return {name: unspell(value) for name, value in told.items()}


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _whole_lines(files: Files, path: Path) -> Iterator[bytes]:
    """All lines but one that was cut short."""
    with files.open(path) as file:
        for line in file:
            if line.endswith(b"\n"):
                yield line


def _value(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise BrokenArchive(path, f"line {number} is not JSON") from error
    if not isinstance(value, dict):
        raise BrokenArchive(path, f"line {number} is no object")
    return value


def _kind(path: Path, value: dict[str, Any]) -> Kind:
    if value.get("schema") != SCHEMA:
        found = value.get("schema", "none")
        raise BrokenArchive(path, f"its schema is {found}, this version reads {SCHEMA}")
    kind: Kind = value["kind"]
    return kind


def _record(path: Path, number: int, value: dict[str, Any], sha: Any) -> dict[str, Any]:
    record: dict[str, Any] = value["record"]
    sha.update(_json(record))
    if sha.hexdigest() != value.get("sha256"):
        raise BrokenArchive(path, f"it was altered before the end of line {number}")
    return record
