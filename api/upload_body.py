"""Raw request bodies: read in pieces; the rest of a body discarded. Knows no dataset.

A server that closes a connection with an unread body resets it, and the client may never see the
response; one that keeps it open would read the rest of the body as the next request."""

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

from flask import Request
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.http import parse_options_header

from api.errors import Problem, bad_header

READ_SIZE = 1 << 18  # bytes
#: without a byte, before a client counts as gone: it holds a thread
READ_TIMEOUT_SECONDS = 60.0
#: of a rejected body: most clients send all of it before they read the response
MAX_DISCARDED_UPLOAD_BYTES = 64 << 20
MAX_DISCARDED_BYTES = 16 << 20  # for a longer body api/server.py closes the connection
DISCARD_READ_SIZE = 1 << 16
#: of a form's parts, and of gzip: 1/64 of the dataset's bytes more where nothing can be compressed
MAX_WRAPPING_BYTES = 1 << 17
#: their charset means nothing
BINARY_MEDIA_TYPES = (
    "application/x-npz",
    "application/vnd.apache.parquet",
    "multipart/form-data",
)


def check_media_type(content_type: str, accepted: tuple[str, ...], rule: str) -> None:
    """Raise Problem (415) for another media type, or a text that is not in UTF-8."""
    media_type, parameters = parse_options_header(content_type)
    charset = parameters.get("charset", "utf-8").lower()
    is_text = media_type.lower() not in BINARY_MEDIA_TYPES
    if media_type.lower() not in accepted or (is_text and charset not in ("utf-8", "utf8")):
        raise bad_header("unsupported-media-type", "Content-Type", rule, content_type)


def read_content_encoding(request: Request, accepted: tuple[str, ...] = ()) -> str | None:
    """Return the body's encoding, None for a plain one. Raises Problem (415) for another one."""
    encoding = request.headers.get("Content-Encoding", "").strip().lower()
    if not encoding or encoding in accepted:
        return encoding or None
    rule = " or ".join([*accepted, "none"])
    raise bad_header("unsupported-media-type", "Content-Encoding", rule, encoding)


class UploadStream:
    """Iterates over the pieces of a body as it was sent; a truncated body is an error.

    With `is_wrapped` a dataset's bytes are inside a form or gzip, which may add some of their own.
    """

    def __init__(self, request: Request, *, max_bytes: int, is_wrapped: bool = False) -> None:
        wrapping_bytes = max_bytes // 64 + MAX_WRAPPING_BYTES if is_wrapped else 0
        self._max_dataset_bytes, self._max_bytes = max_bytes, max_bytes + wrapping_bytes
        self._request = request
        self._length = request.content_length
        # counted here: the limit of JSON bodies does not apply
        request.max_content_length = 1 << 62

    def __iter__(self) -> Iterator[bytes]:
        """Yield the pieces. Raises Problem: 400 for a truncated body, 413 for too long a one."""
        if self._length is not None and self._length > self._max_bytes:
            self.discard()
            raise self._too_large()
        bytes_read = 0
        with self._apply_read_timeout():
            while piece := self._read():
                bytes_read += len(piece)
                if bytes_read > self._max_bytes:
                    raise self._too_large()
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

    def _too_large(self) -> Problem:
        return Problem("too-large", f"at most {self._max_dataset_bytes:,} bytes")

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
