"""Byte ranges of a download (RFC 9110, one range). Knows no file.

A Range header of another unit, or of several ranges, is answered with the whole; one that is no
range at all is refused.
"""

import re

from flask import Request

from api.errors import Problem, bad_header

FORMS = "bytes=FIRST-LAST, bytes=FIRST- or bytes=-N"
BYTE_RANGE_PATTERN = re.compile(r"bytes=\s*(\d{0,18})-(\d{0,18})\s*")


def parse_range(request: Request, size: int, etag: str) -> tuple[int, int] | None:
    """Return the start and the stop (exclusive) that are asked for; None for the whole.

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
    """Whether If-Range (if sent) names these very bytes; a date never does, for none is given."""
    if_range = request.headers.get("If-Range")
    return if_range is None or if_range.strip() == f'"{etag}"'
