"""A file as an answer: whole, a range of it, or 304. Its ETag is its sha256. Knows no resource."""

from collections.abc import Iterator
from typing import BinaryIO

from flask import Request, Response

from api.etag import known, mark, not_modified
from api.ranges import asked_range

PIECE = 1 << 18  # bytes read at a time


def send(request: Request, file: BinaryIO, *, size: int, sha256: str, media_type: str) -> Response:
    """Answer with what the request asks of an open file, which this closes. Raises Problem."""
    try:
        return _send(request, file, size, sha256, media_type)
    except BaseException:
        file.close()
        raise


def _send(request: Request, file: BinaryIO, size: int, sha256: str, media_type: str) -> Response:
    if known(request, sha256):
        file.close()
        return not_modified(sha256)
    part = asked_range(request, size, sha256)
    start, stop = part or (0, size)
    response = Response(_pieces(file, start, stop), content_type=media_type)
    response.call_on_close(file.close)  # also where no piece was ever asked for (HEAD)
    response.content_length = stop - start
    response.headers["Accept-Ranges"] = "bytes"
    if part is not None:
        response.status_code = 206
        response.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    return mark(response, sha256)


def _pieces(file: BinaryIO, start: int, stop: int) -> Iterator[bytes]:
    file.seek(start)
    while start < stop and (piece := file.read(min(PIECE, stop - start))):
        start += len(piece)
        yield piece
