"""Raw request bodies: read in pieces, each with a deadline. Knows no dataset.

No answer waits for a body that it does not need: the connection closes after it instead.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from flask import Request, current_app, request
from gunicorn.http.errors import ParseException  # type: ignore[import-untyped]
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge
from werkzeug.http import parse_options_header

from api.client_socket import client_socket
from api.errors import Problem, bad_header

READ_SIZE = 1 << 18  # bytes
#: of a body that was not read, and has come already; for a longer one the connection closes
MAX_DROPPED_BYTES = 1 << 20
#: key of the app's config: seconds for a JSON body, and for each READ_SIZE bytes of an upload
BODY_SECONDS = "TICKFORGE_BODY_SECONDS"
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
            raise self._too_large()
        bytes_read = 0
        while piece := self._read():
            bytes_read += len(piece)
            if bytes_read > self._max_bytes:
                raise self._too_large()
            yield piece
        if self._length is not None and bytes_read < self._length:
            raise truncated_problem()

    def _read(self) -> bytes:
        with limit_body():
            try:
                return self._request.stream.read(READ_SIZE)
            except RequestEntityTooLarge:
                raise truncated_problem() from None

    def _too_large(self) -> Problem:
        return Problem("too-large", f"at most {self._max_dataset_bytes:,} bytes")


@contextmanager
def limit_body() -> Iterator[None]:
    """Give what is read of the body within so long as the setting says.

    Raises Problem (400) where it does not come in time, or the client leaves.
    """
    peer, seconds = client_socket(), current_app.config[BODY_SECONDS]
    try:
        with nullcontext() if peer is None else peer.limit_read(seconds):
            yield
        return
    except (OSError, ClientDisconnected):
        has_timed_out = peer is not None and peer.has_timed_out
    if has_timed_out:
        raise Problem("bad-request", f"the body did not come within {seconds:g} s")
    raise truncated_problem()


def truncated_problem() -> Problem:
    """Return the error of a body that is shorter than its length."""
    return Problem("bad-request", "the body ended before its length")


def drop_body() -> None:
    """Drop what has come of a body that nobody read; close after the response if more is to come.

    A connection that stays open must not take the rest of a body for the next request.
    """
    if (peer := client_socket()) is None:
        return
    peer.expects_continue = False
    with peer.limit_read(0):
        try:
            dropped = request.environ["wsgi.input"].read(MAX_DROPPED_BYTES)
            peer.must_close = peer.must_close or len(dropped) == MAX_DROPPED_BYTES
        except (OSError, ValueError, ParseException):
            peer.must_close = True
