"""A client's connection as a socket whose reads and writes end. Knows no request, no thread.

gunicorn, the app and its views share one object: it is `gunicorn.socket` in the WSGI environ.
"""

import errno
import select
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import request

#: a reader that takes fewer bytes than these within the write deadline is disconnected
WRITE_STEP_BYTES = 1 << 18
#: of an answer that is made while it is sent, the kernel takes no more in advance
GENERATED_BUFFER_BYTES = 1 << 17
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class ClientSocket(socket.socket):
    """A connection that no peer can hold: each read has a deadline, and so has each write.

    A write does not wait, unless `is_held` is set, by whoever has a place for that: what the peer
    does not take at once is kept in `unsent`, for the worker's main loop to send.
    """

    def __init__(self, accepted: socket.socket, write_seconds: float) -> None:
        super().__init__(fileno=accepted.detach())
        self.write_seconds = write_seconds
        self.unsent = bytearray()
        self.begin_request(0.0)
        if self.family != socket.AF_UNIX and hasattr(socket, "TCP_USER_TIMEOUT"):
            # for a peer that has vanished; later than ours, which tells a living one by a reset
            timeout_ms = int(2000 * write_seconds)
            self.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, timeout_ms)

    def begin_request(
        self, read_seconds: float, *, has_body: bool = True, expects_continue: bool = False
    ) -> None:
        """Forget the last request. `has_body`: all of the next one's body has been received."""
        self.read_deadline = time.monotonic() + read_seconds
        self.has_body, self.expects_continue = has_body, expects_continue
        self.is_held = False
        self.must_close = False  # after the response
        self.has_timed_out = False  # a read
        self.is_stalled = False  # a write was over its deadline

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Receive what has come, or wait until `read_deadline`. Raises TimeoutError."""
        if self.expects_continue:
            self.expects_continue = False
            self.sendall(CONTINUE)
        if not self._wait(select.POLLIN, self.read_deadline):
            self.has_timed_out = True
            raise TimeoutError("the client sent nothing in time")
        return super().recv(size, flags | socket.MSG_DONTWAIT)

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send, or keep in `unsent`. Raises ConnectionResetError where a held peer is too slow."""
        rest = memoryview(self.unsent + data if self.unsent else data)
        self.unsent = bytearray()
        rest = self._send_now(rest)
        deadline = time.monotonic() + self.write_seconds * (1 + len(rest) // WRITE_STEP_BYTES)
        while self.is_held and rest:
            if not self._wait(select.POLLOUT, deadline):
                self.is_stalled = True
                raise ConnectionResetError(errno.ECONNRESET, "nobody reads the response")
            rest = self._send_now(rest)
        self.unsent += rest

    def send_unsent(self) -> None:
        """Send of `unsent` what the peer takes now. Raises OSError if it has gone."""
        with memoryview(self.unsent) as view:
            sent = len(view) - len(self._send_now(view))
        del self.unsent[:sent]

    def shutdown(self, how: int) -> None:
        """Shut down; gunicorn then waits in a thread for what the peer still sends."""
        self.read_deadline = time.monotonic()
        super().shutdown(how)

    def bound_buffer(self) -> None:
        """Let no more be made for a client than it reads."""
        self.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, GENERATED_BUFFER_BYTES)

    def abort(self) -> None:
        """Close with a reset: what nobody reads is not kept."""
        self.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    @contextmanager
    def limit_read(self, seconds: float) -> Iterator[None]:
        """Give the peer that long for what is read within, and no longer."""
        previous_deadline = self.read_deadline
        self.read_deadline = time.monotonic() + seconds
        try:
            yield
        finally:
            self.read_deadline = previous_deadline

    def _wait(self, event: int, deadline: float) -> bool:
        poll = select.poll()
        poll.register(self, event)
        return bool(poll.poll(max(0.0, 1000 * (deadline - time.monotonic()))))

    def _send_now(self, data: memoryview) -> memoryview:
        try:
            return data[self.send(data, socket.MSG_DONTWAIT) :]
        except BlockingIOError:
            return data


def client_socket() -> ClientSocket | None:
    """Return the request's socket, or None where the server has no such one."""
    peer = request.environ.get("gunicorn.socket")
    return peer if isinstance(peer, ClientSocket) else None
