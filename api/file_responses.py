"""A file as an answer: whole, a range of it, or 304. Its ETag is its sha256. Knows no resource."""

from collections.abc import Iterator
from typing import BinaryIO

from flask import Request, Response

from api.etag import etag_matches, not_modified, set_etag
from api.ranges import parse_range

READ_SIZE = 1 << 18  # bytes read at a time


def file_response(
    request: Request, file: BinaryIO, *, size: int, sha256: str, media_type: str
) -> Response:
    """Answer with what the request asks of an open file, which this closes. Raises Problem."""
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
    response.call_on_close(file.close)  # also where no piece was ever asked for (HEAD)
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
