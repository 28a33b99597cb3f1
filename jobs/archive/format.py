"""The format of archive files: JSON lines, each record with a digest of all bytes before it.

Knows no job. The first line is a header with schema and kind. Addition lines (a part of a history,
a long field, an event) follow; they take effect with the next record line. Lines after the last
record come from a write that a crash cut short, and are ignored.
"""

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from jobs.files.artifacts import ArtifactStore

SCHEMA = 1
RecordKind = Literal[
    "job", "said", "key", "dataset", "secret", "tenant", "webhook", "gone", "store", "request"
]
EncodedBytes = str | dict[str, str]  # a text, or {"base64": ...}
ADDITION_KEYS = ("part", "field", "event")  # first key of an addition line


class BrokenArchive(Exception):
    """An archive file was altered, or has a form that this version does not know."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")


class RecordEncoder:
    """Encodes the lines of one file and carries its running digest. Writes nothing itself."""

    def __init__(self) -> None:
        self._sha = hashlib.sha256()

    def header(self, kind: RecordKind) -> bytes:
        """Encode the first line of a file."""
        return self.line({"schema": SCHEMA, "kind": kind})

    def line(self, value: dict[str, Any]) -> bytes:
        """Encode an addition line; it takes effect with the next record."""
        return self._add_to_digest(_to_json(value) + b"\n")

    def record(self, value: dict[str, Any]) -> bytes:
        """Encode a record line, which puts itself and all lines before it into effect."""
        text = _to_json(value)
        sha = self._sha.copy()
        sha.update(text)
        record_line = b'{"record":' + text + b',"sha256":"' + sha.hexdigest().encode() + b'"}\n'
        return self._add_to_digest(record_line)

    def _add_to_digest(self, line: bytes) -> bytes:
        self._sha.update(line)
        return line


@dataclass(frozen=True)
class ParsedFile:
    """A file read back: its kind, its last record, and the additions before that record."""

    path: Path
    kind: RecordKind
    record: dict[str, Any]
    additions: list[dict[str, Any]]


def single_record(kind: RecordKind, record: dict[str, Any]) -> bytes:
    """Encode a complete file of one record."""
    encoder = RecordEncoder()
    return encoder.header(kind) + encoder.record(record)


def read_file(files: ArtifactStore, path: Path) -> ParsedFile:
    """Read a file up to its last record. Raises BrokenArchive or FileNotFoundError."""
    kind: RecordKind | None = None
    record: dict[str, Any] | None = None
    additions: list[dict[str, Any]] = []
    counted_additions, sha = 0, hashlib.sha256()
    for number, line in enumerate(_read_complete_lines(files, path), 1):
        value = _parse_line(path, number, line)
        if number == 1:
            kind = _parse_kind(path, value)
        elif "record" in value:
            record = _check_record(path, number, value, sha.copy())
            counted_additions = len(additions)
        elif next(iter(value), None) in ADDITION_KEYS:
            additions.append(value)
        else:
            raise BrokenArchive(path, f"line {number} is of no form that is known here")
        sha.update(line)
    if kind is None or record is None:
        raise BrokenArchive(path, "it holds no record")
    return ParsedFile(path, kind, record, additions[:counted_additions])


def encode_bytes(data: bytes) -> EncodedBytes:
    """Encode bytes for JSON: UTF-8 as a text, anything else as base64."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def decode_bytes(encoded: EncodedBytes) -> bytes:
    """Decode what `encode_bytes` returned."""
    return encoded.encode() if isinstance(encoded, str) else base64.b64decode(encoded["base64"])


def encode_hash(fields: Mapping[str, bytes]) -> dict[str, EncodedBytes]:
    """Encode every value of a hash."""
    return {name: encode_bytes(value) for name, value in fields.items()}


def decode_hash(encoded: dict[str, Any]) -> dict[str, bytes]:
    """Decode every value of a hash."""
    return {name: decode_bytes(value) for name, value in encoded.items()}


def sequence_of(record: dict[str, Any]) -> int:
    """Return the sequence number in a record of a job, key or dataset, or in a tombstone."""
    if "seq" in record.get("fields", {}):
        return int(decode_bytes(record["fields"]["seq"]))
    return int(record.get("sequence", 0))


def _to_json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _read_complete_lines(files: ArtifactStore, path: Path) -> Iterator[bytes]:
    """Yield all lines but a last one without its newline."""
    with files.open(path) as file:
        for line in file:
            if line.endswith(b"\n"):
                yield line


def _parse_line(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise BrokenArchive(path, f"line {number} is not JSON") from error
    if not isinstance(value, dict):
        raise BrokenArchive(path, f"line {number} is no object")
    return value


def _parse_kind(path: Path, value: dict[str, Any]) -> RecordKind:
    if value.get("schema") != SCHEMA:
        schema = value.get("schema", "none")
        raise BrokenArchive(path, f"its schema is {schema}, this version reads {SCHEMA}")
    return cast(RecordKind, value["kind"])


def _check_record(path: Path, number: int, value: dict[str, Any], sha: Any) -> dict[str, Any]:
    record: dict[str, Any] = value["record"]
    sha.update(_to_json(record))
    if sha.hexdigest() != value.get("sha256"):
        raise BrokenArchive(path, f"it was altered before the end of line {number}")
    return record
