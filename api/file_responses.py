"""File downloads: the whole file, a byte range, 304 or 412 (RFC 9110). The ETag is the sha256.

A Range header with another unit or with several ranges gets the whole file; a malformed one is an
error. Knows no resource."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO

from flask import Response, request

from api.checked_files import CheckedFiles
from api.errors import Problem, bad_header
from api.etag import set_etag
from api.preconditions import check_preconditions, is_not_modified

BYTE_RANGE_PATTERN = re.compile(r"bytes=\s*(\d{0,18})-(\d{0,18})\s*")
#: of a download, those that choose what is sent, in the order in which they are looked at
DOWNLOAD_HEADERS = (
    "If-Match", "If-Unmodified-Since", "If-None-Match", "If-Modified-Since", "Range", "If-Range",
)  # fmt: skip
#: of every form of it
ANSWER_HEADERS = ("ETag", "Last-Modified", "Accept-Ranges")


@dataclass(frozen=True)
class FileFacts:
    """What is known of a file that is sent: its bytes' number and digest, and when it was made."""

    size: int
    sha256: str
    media_type: str
    created_at: str  # RFC 3339

    @property
    def modified(self) -> datetime:
        """Its last modification, in whole seconds as HTTP has them: it never changes."""
        return datetime.fromisoformat(self.created_at).replace(microsecond=0)


def file_response(file: BinaryIO, facts: FileFacts, checked_files: CheckedFiles) -> Response:
    """Return what the request wants of an open file, and close it.

    Raises Problem (400, 412, 416), or DamagedFile where its bytes are not those of its digest.
    """
    try:
        check_preconditions(facts.sha256, facts.modified)
        if is_not_modified(facts.sha256, facts.modified):
            response = Response(status=304)
        else:
            response = _range_response(file, facts, checked_files)
    except BaseException:
        file.close()
        raise
    response.last_modified = facts.modified
    response.call_on_close(file.close)  # also if nothing is read (HEAD, 304)
    return set_etag(response, facts.sha256)


def _range_response(file: BinaryIO, facts: FileFacts, checked_files: CheckedFiles) -> Response:
    size, sha256 = facts.size, facts.sha256
    byte_range = parse_range(size, sha256)
    start, stop = byte_range or (0, size)
    pieces = (
        checked_files.read_whole(file, sha256, size)
        if byte_range is None
        else checked_files.read_part(file, sha256, start, stop)
    )
    response = Response(pieces, content_type=facts.media_type)
    response.content_length = stop - start
    response.headers["Accept-Ranges"] = "bytes"
    if byte_range is not None:
        response.status_code = 206
        response.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    return response


def parse_range(size: int, etag: str) -> tuple[int, int] | None:
    """Return start and stop (exclusive) of the requested range; None for the whole file.

    Raises Problem: 400 for a malformed range, 416 for one outside the file.
    """
    text, if_range = request.headers.get("Range"), request.headers.get("If-Range", f'"{etag}"')
    # a date never matches: two checkpoints may be made within its second
    if text is None or request.method == "HEAD" or if_range.strip() != f'"{etag}"':
        return None
    return _resolve_range(text, size) if text.startswith("bytes=") and "," not in text else None


def _resolve_range(text: str, size: int) -> tuple[int, int]:
    match = BYTE_RANGE_PATTERN.fullmatch(text)
    first, last = match.groups() if match else ("", "")
    if not first and not last:
        rule = "bytes=FIRST-LAST, bytes=FIRST- or bytes=-N"
        raise bad_header("invalid-parameter", "Range", rule, text)
    if not first:
        start, stop = max(0, size - int(last)), size
    else:
        start, stop = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < start:
            raise bad_header("invalid-parameter", "Range", "a last byte not before the first", text)
    if start >= stop:
        detail, headers = f"the file has {size} bytes", {"Content-Range": f"bytes */{size}"}
        raise Problem("range-not-satisfiable", detail, headers=headers)
    return start, stop
