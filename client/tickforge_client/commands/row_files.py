"""Reads rows to predict from a file or standard input, in the forms that uploads have."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import sys
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from tickforge_client.uploads import GZIP_MAGIC, UnknownType, media_type_of

DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "space": " ", "pipe": "|"}
#: the forms of rows in a file: --type
KINDS = ("csv", "tsv", "jsonl")
_KINDS_BY_MEDIA_TYPE = {
    "text/csv": "csv",
    "text/tab-separated-values": "tsv",
    "application/x-ndjson": "jsonl",
    "text/plain": "csv",
}
STANDARD_INPUT = Path("-")
#: what is in quotes, or a run of blanks
_BLANKS = re.compile(r'("(?:[^"]|"")*")|[ \t]+')


def read_rows(
    file: Path, *, kind: str | None, delimiter: str | None, has_header: bool
) -> list[dict[str, Any]]:
    """Return the rows of a file, gzip'd or not, as records. Raises UsageError where it has none.

    `kind` None: by the file's suffix, else by its first character. Without a header columns are c1,
    c2, …, as of an upload.
    """
    try:
        text = _decode(sys.stdin.buffer.read() if file == STANDARD_INPUT else file.read_bytes())
        kind = kind or _kind_of(file, text)
        if kind == "jsonl":
            rows = _parse_json_rows(text)
        else:
            separator = DELIMITERS[delimiter or ("tab" if kind == "tsv" else "comma")]
            rows = list(_parse_csv(text, separator, has_header=has_header))
        if not rows:
            raise ValueError("it has no rows")
        return rows
    except (OSError, EOFError, zlib.error, ValueError, RecursionError, csv.Error) as error:
        raise click.UsageError(f"{file}: {error}") from error


def _decode(content: bytes) -> str:
    if content.startswith(GZIP_MAGIC):
        content = gzip.decompress(content)
    try:
        return content.decode("utf-8-sig")  # without a byte order mark
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8: byte {error.start + 1:,}") from error


def _kind_of(file: Path, text: str) -> str:
    begins_as_json = text.lstrip()[:1] in ("{", "[")
    if ".json" in file.suffixes[-2:] or file == STANDARD_INPUT:
        return "jsonl" if begins_as_json else "csv"
    try:
        media_type = media_type_of(file)
    except UnknownType:
        return "jsonl" if begins_as_json else "csv"
    if media_type not in _KINDS_BY_MEDIA_TYPE:
        raise ValueError("predicted as a dataset: tickforge datasets upload, then its id as FILE")
    return _KINDS_BY_MEDIA_TYPE[media_type]


def _parse_json_rows(text: str) -> list[dict[str, Any]]:
    if text.lstrip().startswith("["):
        rows = json.loads(text)
    else:
        lines = enumerate(text.split("\n"), 1)  # a text in JSON may hold other line ends
        rows = [_parse_json_line(line, number) for number, line in lines if line.strip()]
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError("each row is an object, {column: value}")
    return list(rows)


def _parse_json_line(line: str, number: int) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        raise ValueError(f"line {number} is not JSON: {error}") from error


def _parse_csv(text: str, delimiter: str, *, has_header: bool) -> Iterator[dict[str, Any]]:
    if delimiter == " ":  # any run of blanks and tabs, as in an upload
        text = _BLANKS.sub(lambda match: match[1] or " ", text)
        text = re.sub(r"^ | (?=\r?$)", "", text, flags=re.MULTILINE)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows = (row for row in reader if row)  # a line without a character is no row
    names: list[str] | None = next(rows, []) if has_header else None
    if repeated := [name for name, count in Counter(names).items() if count > 1]:
        raise ValueError(f"the header names {repeated[0]!r} more than once")
    for row in rows:
        names = names or [f"c{number}" for number, _ in enumerate(row, 1)]
        if len(row) != len(names):
            other = "header" if has_header else "first row"
            raise ValueError(f"line {reader.line_num} has not as many fields as the {other}")
        yield dict(zip(names, row, strict=True))
