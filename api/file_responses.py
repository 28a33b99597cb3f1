"""File downloads: the whole file, a byte range (RFC 9110), or 304. The ETag is the sha256.

A Range header with another unit or with several ranges gets the whole file; a malformed one is an
error. Knows no resource."""

import re
from collections.abc import Iterator
from typing import BinaryIO

from flask import Response, request

from api.errors import Problem, bad_header
from api.etag import response_or_304

READ_SIZE = 1 << 18  # bytes
BYTE_RANGE_PATTERN = re.compile(r"bytes=\s*(\d{0,18})-(\d{0,18})\s*")


def file_response(file: BinaryIO, *, size: int, sha256: str, media_type: str) -> Response:
    """Return what the request wants of an open file, and close it. Raises Problem (400, 416)."""
    try:
        response = response_or_304(sha256, lambda: _range_response(file, size, sha256, media_type))
    except BaseException:
        file.close()
        raise
    response.call_on_close(file.close)  # also if nothing is read (HEAD, 304)
    return response


def _range_response(file: BinaryIO, size: int, sha256: str, media_type: str) -> Response:
    byte_range = parse_range(size, sha256)
    start, stop = byte_range or (0, size)
    response = Response(read_range(file, start, stop), content_type=media_type)
    response.content_length = stop - start
    response.headers["Accept-Ranges"] = "bytes"
    if byte_range is not None:
        response.status_code = 206
        response.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    return response


def read_range(file: BinaryIO, start: int, stop: int) -> Iterator[bytes]:
    """Yield the bytes of a file from `start` to `stop` (exclusive), a piece at a time."""
    file.seek(start)
    while start < stop and (piece := file.read(min(READ_SIZE, stop - start))):
        start += len(piece)
        yield piece


def parse_range(size: int, etag: str) -> tuple[int, int] | None:
    """Return start and stop (exclusive) of the requested range; None for the whole file.

    Raises Problem: 400 for a malformed range, 416 for one outside the file.
    """
    text, if_range = request.headers.get("Range"), request.headers.get("If-Range", f'"{etag}"')
    # a date never matches: we send no Last-Modified
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
