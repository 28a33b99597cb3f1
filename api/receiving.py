"""A raw body, read a piece at a time: its media type, its length, its end. Knows no dataset."""

import contextlib
import socket
from collections.abc import Iterator

from flask import Request
from werkzeug.exceptions import RequestEntityTooLarge

from api.errors import Problem, bad_header

PIECE = 1 << 18  # bytes read at a time
#: seconds without a byte after which a client is taken for gone: it holds a thread
SILENCE = 60.0
#: bytes of a refused body that are still read, for most clients send all before they listen
MOST_DRAINED = 64 << 20
TEXTS = ("text/", "application/x-ndjson")


def media_type_of(request: Request, accepted: tuple[str, ...]) -> str:
    """Return the body's media type without parameters; raises Problem (415)."""
    given = request.headers.get("Content-Type", "")
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    is_text = request.mimetype.startswith(TEXTS)
    if request.mimetype not in accepted or (is_text and charset not in ("utf-8", "utf8")):
        rule = "one of " + ", ".join(accepted) + " (texts in UTF-8)"
        raise bad_header("unsupported-media-type", "Content-Type", rule, given)
    if encoding := request.headers.get("Content-Encoding"):
        raise bad_header("unsupported-media-type", "Content-Encoding", "none", encoding)
    return request.mimetype


class Body:
    """The pieces of a raw body that must be whole: one that is cut short is refused."""

    def __init__(self, request: Request, *, most: int) -> None:
        self._request, self._most = request, most
        self._length = request.content_length
        request.max_content_length = 1 << 62  # counted here: the limit of JSON is not this one

    def __iter__(self) -> Iterator[bytes]:
        """Read it; raises Problem (400 where it ends early, 413 where it says it is too long)."""
        if self._length is not None and self._length > self._most:
            self.drain()
            raise Problem("too-large", f"at most {self._most:,} bytes")
        read = 0
        with self._patience():
            while piece := self._read():
                read += len(piece)
                yield piece
        if self._length is not None and read < self._length:
            raise Problem("bad-request", "the body ended before its length")

    def drain(self) -> None:
        """Read on for a while without looking, so that who is still sending hears the refusal."""
        if self._length is not None and self._length > self._most + MOST_DRAINED:
            return
        drained = 0
        with self._patience(), contextlib.suppress(Problem):
            while drained < MOST_DRAINED and (piece := self._read()):
                drained += len(piece)

    def _read(self) -> bytes:
        try:
            return self._request.stream.read(PIECE)
        except TimeoutError:
            detail = f"no byte of the body came for {SILENCE:g} s"
        except (OSError, RequestEntityTooLarge):
            detail = "the body ended before its length"
        raise Problem("bad-request", detail)

    @contextlib.contextmanager
    def _patience(self) -> Iterator[None]:
        """Bound the wait for a byte, where the server gives its socket."""
        connection = self._request.environ.get("gunicorn.socket")
        if not isinstance(connection, socket.socket):
            yield
            return
        before = connection.gettimeout()
        connection.settimeout(SILENCE)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # closed by now
                connection.settimeout(before)
