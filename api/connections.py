"""A connection between its requests: what has come of the next one. Knows no thread and no app."""

import re
import socket
from typing import Any

from gunicorn.http.errors import (  # type: ignore[import-untyped]
    InvalidHeader,
    LimitRequestHeaders,
)
from gunicorn.http.message import Request  # type: ignore[import-untyped]
from gunicorn.http.parser import RequestParser  # type: ignore[import-untyped]
from gunicorn.http.unreader import SocketUnreader  # type: ignore[import-untyped]
from gunicorn.workers.gthread import TConn  # type: ignore[import-untyped]

from api.client_socket import ClientSocket

READ_SIZE = 1 << 16  # bytes
MAX_REQUEST_LINE_BYTES = 8190
MAX_HEAD_BYTES = 1 << 16  # request line and headers
#: a body of at most so many bytes is waited for without a thread, but not for long
MAX_GATHERED_BODY_BYTES = 1 << 20
GATHER_BODY_SECONDS = 0.1
HEAD_END, LAST_CHUNK = b"\r\n\r\n", b"0\r\n\r\n"
BODY_HEADERS = re.compile(
    rb"\r\n(?:content-length:[ \t]*(?P<length>\d{0,18})"
    rb"|(?P<chunked>transfer-encoding):|(?P<expects>expect):)",
    re.IGNORECASE,
)


class GatheredRequest(Request):  # type: ignore[misc]
    """A parsed request; the app may close its connection, too."""

    def should_close(self) -> bool:
        """Whether the connection ends with the response."""
        return bool(self.unreader.sock.must_close or super().should_close())


class GatheredUnreader(SocketUnreader):  # type: ignore[misc]
    """Reads a body from the socket, but no head: all of that was gathered before."""

    has_head = False

    def chunk(self, size_hint: int | None = None) -> bytes:
        """Receive more of a body. Raises ParseException for more of a head."""
        if self.has_head:
            return bytes(super().chunk(size_hint))
        if len(self.buf.getvalue()) < MAX_HEAD_BYTES:
            raise InvalidHeader("the head has no end")
        raise LimitRequestHeaders("the head is too long")


class GatheredParser(RequestParser):  # type: ignore[misc]
    """Parses heads that were received without a thread."""

    mesg_class = GatheredRequest

    def __init__(self, cfg: Any, peer: ClientSocket, address: Any) -> None:
        super().__init__(cfg, peer, address)
        self.unreader = GatheredUnreader(peer)


class Connection(TConn):  # type: ignore[misc]
    """A client's connection. `deadline`: when the main loop does something about it."""

    def __init__(self, cfg: Any, peer: ClientSocket, address: Any, server: Any) -> None:
        super().__init__(cfg, peer, address, server)
        self.parser = GatheredParser(cfg, peer, address)
        self.initialized = True  # for gunicorn: it has its parser
        self.received = bytearray()
        self.deadline = 0.0
        self.keeps_open = False  # after what is unsent
        self.discarded_bytes = 0
        self.closes_until = 0.0
        self.was_body_received = False
        self._start_receiving()

    def _start_receiving(self) -> None:
        self.waits_for_body = False
        self._searched = 0
        self._body_from: int | None = None
        self._body_bytes: int | None = 0  # None: it ends with its last chunk
        self._is_broken = self._expects_continue = False

    def receive(self) -> bool:
        """Take what has come. False: the client has closed. Raises BlockingIOError, OSError."""
        data = socket.socket.recv(self.sock, READ_SIZE, socket.MSG_DONTWAIT)
        self.received += data
        return bool(data)

    def discard(self, size: int) -> int:
        """Drop what has come, and return how many bytes. Raises as `receive` does."""
        count = len(socket.socket.recv(self.sock, size, socket.MSG_DONTWAIT))
        self.discarded_bytes += count
        return count

    def take_pipelined(self) -> None:
        """Take what was received behind the last request's body."""
        self.received += self.parser.unreader.take_buffered()

    @property
    def has_head(self) -> bool:
        """Whether a thread can parse the head, if only to refuse it."""
        if self._body_from is None and not self._is_broken:
            self._search_head()
        return self._is_broken or self._body_from is not None

    @property
    def has_body(self) -> bool:
        """Whether all of the body has been received; only with a head."""
        if self._body_from is None:
            return True
        if self._body_bytes is None:
            return self.received.endswith(LAST_CHUNK)
        return len(self.received) - self._body_from >= self._body_bytes

    @property
    def is_body_worth_waiting(self) -> bool:
        """Whether the missing rest of the body may come at once, and may be kept."""
        if self._expects_continue or len(self.received) > MAX_HEAD_BYTES + MAX_GATHERED_BODY_BYTES:
            return False
        return self._body_bytes is None or self._body_bytes <= MAX_GATHERED_BODY_BYTES

    def hand_over(self) -> None:
        """Give the parser what was received."""
        has_body, self.received, received = self.has_body, bytearray(), bytes(self.received)
        self.parser.unreader.has_head = False
        self.parser.unreader.unread(received)
        self._start_receiving()
        self.was_body_received = has_body

    def begin_request(self, request: GatheredRequest, read_seconds: float) -> None:
        """Prepare the socket for a request that was parsed from what was handed over."""
        self.parser.unreader.has_head = True
        expects_continue = request._expected_100_continue
        request._expected_100_continue = False  # the socket answers it, if the body is read
        self.sock.begin_request(
            read_seconds, has_body=self.was_body_received, expects_continue=expects_continue
        )

    def _search_head(self) -> None:
        """Look for the head's end, and for what will make the parser refuse it."""
        received, start = self.received, max(0, self._searched - len(HEAD_END))
        end = received.find(HEAD_END, start)
        if end >= 0:
            self._read_body_headers(bytes(received[: end + len(HEAD_END)]))
            return
        newlines = received.count(b"\n", start) - received.count(b"\r\n", start)
        has_long_line = len(received) > MAX_REQUEST_LINE_BYTES and b"\r\n" not in received
        # a newline at `start` may have its carriage return before it
        is_cut = start > 0 and received[start : start + 1] == b"\n"
        self._is_broken = newlines > is_cut or has_long_line or len(received) > MAX_HEAD_BYTES
        self._searched = len(received)

    def _read_body_headers(self, head: bytes) -> None:
        self._body_from = len(head)
        for match in BODY_HEADERS.finditer(head):
            if match["expects"]:
                self._expects_continue = True
            else:
                self._body_bytes = None if match["chunked"] else int(match["length"] or 0)
