"""File downloads: the whole file, a byte range (RFC 9110), or 304. The ETag is the sha256.

A Range header with another unit or with several ranges gets the whole file; a malformed one is an
error. Knows no resource."""

import re
from collections.abc import Iterator
from typing import BinaryIO

from flask import Request, Response

from api.errors import Problem, bad_header
from api.etag import etag_matches, not_modified, set_etag

READ_SIZE = 1 << 18  # bytes
BYTE_RANGE_PATTERN = re.compile(r"bytes=\s*(\d{0,18})-(\d{0,18})\s*")


def file_response(
    request: Request, file: BinaryIO, *, size: int, sha256: str, media_type: str
) -> Response:
    """Return what the request wants of an open file, and close it. Raises Problem (400, 416)."""
    try:
        return _file_response(request, file, size, sha256, media_type)
    except BaseException:
        file.close()
        raise


def _file_response(
    request: Request, file: BinaryIO, size: int, sha256: str, media_type: str
) -> Response:
    if etag_matches(request, sha256):
        file.close()
        return not_modified(sha256)
    byte_range = parse_range(request, size, sha256)
    start, stop = byte_range or (0, size)
    response = Response(_read_range(file, start, stop), content_type=media_type)
    response.call_on_close(file.close)  # also if nothing is read (HEAD)
    response.content_length = stop - start
    response.headers["Accept-Ranges"] = "bytes"
    if byte_range is not None:
        response.status_code = 206
        response.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    return set_etag(response, sha256)


def _read_range(file: BinaryIO, start: int, stop: int) -> Iterator[bytes]:
    file.seek(start)
    while start < stop and (piece := file.read(min(READ_SIZE, stop - start))):
        start += len(piece)
        yield piece


def parse_range(request: Request, size: int, etag: str) -> tuple[int, int] | None:
    """Return start and stop (exclusive) of the requested range; None for the whole file.

    Raises Problem: 400 for a malformed range, 416 for one outside the file.
    """
    text = request.headers.get("Range")
    if text is None or request.method == "HEAD" or not _if_range_matches(request, etag):
        return None
    if not text.startswith("bytes=") or "," in text:
        return None
    return _resolve_range(text, size)


def _resolve_range(text: str, size: int) -> tuple[int, int]:
    match = BYTE_RANGE_PATTERN.fullmatch(text)
    first, last = match.groups() if match else ("", "")
    if not first and not last:
        raise bad_header(
            "invalid-parameter", "Range", "bytes=FIRST-LAST, bytes=FIRST- or bytes=-N", text
        )
    if not first:
        start, stop = max(0, size - int(last)), size
    else:
        start, stop = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < start:
            raise bad_header("invalid-parameter", "Range", "a last byte not before the first", text)
    if start >= stop:
        raise Problem(
            "range-not-satisfiable",
            f"the file has {size} bytes",
            headers={"Content-Range": f"bytes */{size}"},
        )
    return start, stop


def _if_range_matches(request: Request, etag: str) -> bool:
    """Whether If-Range, if sent, is this ETag. A date never matches: we send no Last-Modified."""
    if_range = request.headers.get("If-Range")
    return if_range is None or if_range.strip() == f'"{etag}"'
