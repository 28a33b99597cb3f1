"""Raw request bodies: read in pieces; the rest of a body discarded. Knows no dataset.

A server that closes a connection with an unread body resets it, and the client may never see the
response; one that keeps it open would read the rest of the body as the next request."""

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

from flask import Request
from werkzeug.exceptions import RequestEntityTooLarge

from api.errors import Problem, bad_header

READ_SIZE = 1 << 18  # bytes
#: without a byte, before a client counts as gone: it holds a thread
READ_TIMEOUT_SECONDS = 60.0
#: of a rejected body: most clients send all of it before they read the response
MAX_DISCARDED_UPLOAD_BYTES = 64 << 20
MAX_DISCARDED_BYTES = 16 << 20  # for a longer body api/server.py closes the connection
DISCARD_READ_SIZE = 1 << 16
TEXT_MEDIA_TYPE_PREFIXES = ("text/", "application/x-ndjson")


def read_media_type(request: Request, accepted: tuple[str, ...]) -> str:
    """Return the body's media type without parameters. Raises Problem (415)."""
    rule = "one of " + ", ".join(accepted) + " (texts in UTF-8)"
    is_text = request.mimetype.startswith(TEXT_MEDIA_TYPE_PREFIXES)
    check_media_type(request, accepted, rule, is_text=is_text)
    return request.mimetype


def check_media_type(
    request: Request, accepted: tuple[str, ...], rule: str, *, is_text: bool
) -> None:
    """Raise Problem (415) for another media type, an encoded body, or a text not in UTF-8."""
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    if request.mimetype not in accepted or (is_text and charset not in ("utf-8", "utf8")):
        content_type = request.headers.get("Content-Type", "")
        raise bad_header("unsupported-media-type", "Content-Type", rule, content_type)
    if encoding := request.headers.get("Content-Encoding"):
        raise bad_header("unsupported-media-type", "Content-Encoding", "none", encoding)


class UploadStream:
    """Iterates over the pieces of a raw body; a truncated body is an error."""

    def __init__(self, request: Request, *, max_bytes: int) -> None:
        self._request, self._max_bytes = request, max_bytes
        self._length = request.content_length
        # counted here: the limit of JSON bodies does not apply
        request.max_content_length = 1 << 62

    def __iter__(self) -> Iterator[bytes]:
        """Yield the pieces. Raises Problem: 400 for a truncated body, 413 for a declared excess."""
        if self._length is not None and self._length > self._max_bytes:
            self.discard()
            raise Problem("too-large", f"at most {self._max_bytes:,} bytes")
        bytes_read = 0
        with self._apply_read_timeout():
            while piece := self._read():
                bytes_read += len(piece)
                yield piece
        if self._length is not None and bytes_read < self._length:
            raise Problem("bad-request", "the body ended before its length")

    def discard(self) -> None:
        """Read and drop the rest, within limits, so that the client reads the response."""
        if self._length is not None and self._length > self._max_bytes + MAX_DISCARDED_UPLOAD_BYTES:
            return
        discarded_bytes = 0
        with self._apply_read_timeout(), contextlib.suppress(Problem):
            while discarded_bytes < MAX_DISCARDED_UPLOAD_BYTES and (piece := self._read()):
                discarded_bytes += len(piece)

    def _read(self) -> bytes:
        try:
            return self._request.stream.read(READ_SIZE)
        except TimeoutError:
            detail = f"no byte of the body came for {READ_TIMEOUT_SECONDS:g} s"
        except (OSError, RequestEntityTooLarge):
            detail = "the body ended before its length"
        raise Problem("bad-request", detail)

    @contextlib.contextmanager
    def _apply_read_timeout(self) -> Iterator[None]:
        """Limit the wait for a byte, if the server exposes its socket."""
        connection = self._request.environ.get("gunicorn.socket")
        if not isinstance(connection, socket.socket):
            yield
            return
        previous_timeout = connection.gettimeout()
        connection.settimeout(READ_TIMEOUT_SECONDS)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # already closed
                connection.settimeout(previous_timeout)


def discard_body(environ: dict[str, Any]) -> None:
    """Read and drop the rest of a request's body, up to MAX_DISCARDED_BYTES."""
    length = environ.get("CONTENT_LENGTH") or ""
    is_chunked = "HTTP_TRANSFER_ENCODING" in environ
    if not is_chunked and not (length.isdigit() and int(length) <= MAX_DISCARDED_BYTES):
        return  # no body, or too long to discard
    remaining = MAX_DISCARDED_BYTES
    try:
        while remaining > 0 and (
            piece := environ["wsgi.input"].read(min(DISCARD_READ_SIZE, remaining))
        ):
            remaining -= len(piece)
    except (OSError, ValueError):
        return  # truncated or malformed: gunicorn closes the connection itself
