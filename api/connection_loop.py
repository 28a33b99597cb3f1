"""The main loop of gunicorn's threaded worker, changed so that only whole requests take threads.

It receives heads (and bodies that come at once), sends what slow readers have not taken, and closes
connections; each of these has a deadline. Knows no app.
"""

import errno
import selectors
import socket
import time
from concurrent.futures import Future
from enum import Enum
from functools import partial
from typing import Any

from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]

from api.client_socket import WRITE_STEP_BYTES, ClientSocket
from api.connections import GATHER_BODY_SECONDS, Connection

#: of a connection that closes: a client may read the response only after it has sent its body
MAX_DISCARDED_BYTES = 64 << 20
DISCARD_IDLE_SECONDS, DISCARD_SIZE = 2.0, 1 << 18
STOP_SECONDS = 0.5  # for what comes on open connections while the process stops
ACCEPTS_AT_ONCE = 64
MAX_UNSENT_BYTES = 64 << 20  # kept for all slow readers together
CHECK_SECONDS = 0.05  # at most between two looks for deadlines that are over
NO_MORE_FILES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Phase(Enum):
    """What the main loop does with a connection; where there are too many, in this order."""

    CLOSING = "discards what comes until the client closes"
    RECEIVING = "receives a head"
    IDLE = "waits for the first byte of the next request"
    SENDING = "sends what the client has not taken yet"


class ConnectionLoop(ThreadWorker):  # type: ignore[misc]
    """A worker whose connections, between their requests, are in phases and take no thread."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._settings = self.app.settings
        self._phases: dict[Phase, dict[Connection, None]] = {phase: {} for phase in Phase}
        self._next_deadline = 0.0
        self._checked_at = 0.0
        self._unsent_bytes = 0

    def accept(self, listener: Any) -> None:
        """Accept what waits; close the oldest connections that do nothing where there are many."""
        for _ in range(ACCEPTS_AT_ONCE):
            if self.nr_conns >= self.worker_connections - 1 and not self._close_oldest():
                return  # all are in threads; `run` accepts again when there are fewer
            try:
                accepted, address = listener.accept()
            except OSError as error:
                if error.errno in NO_MORE_FILES:
                    self._close_oldest()
                    time.sleep(CHECK_SECONDS)  # the listener stays readable
                elif error.errno not in (errno.EAGAIN, errno.ECONNABORTED):
                    raise
                return
            peer = ClientSocket(accepted, self._settings.write_seconds)
            self.nr_conns += 1
            conn = Connection(self.cfg, peer, address, listener.getsockname())
            self._enter(conn, Phase.RECEIVING, self._settings.head_seconds)
            self._on_readable(conn, peer)

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Wait for events, or for the next deadline; handle both."""
        seconds = max(CHECK_SECONDS, self._next_deadline - time.monotonic())
        super().wait_for_and_dispatch_events(min(timeout, seconds))
        now = time.monotonic()
        if now >= max(self._next_deadline, self._checked_at + CHECK_SECONDS):
            self._check_deadlines(now)

    def _check_deadlines(self, now: float) -> None:
        waiting = [conn for conns in self._phases.values() for conn in conns]
        for conn in waiting:
            if conn.deadline <= now:
                self._on_deadline(conn)
        deadlines = (conn.deadline for conns in self._phases.values() for conn in conns)
        self._checked_at, self._next_deadline = now, min(deadlines, default=float("inf"))

    def _on_deadline(self, conn: Connection) -> None:
        if conn in self._phases[Phase.RECEIVING] and conn.has_head:
            self._start_request(conn)  # its body has not come at once
        else:
            self._drop(conn)

    def _cap_keepalive(self, deadline: float) -> None:
        """Give what is open a moment when the process stops."""
        end = time.monotonic() + STOP_SECONDS
        for conns in self._phases.values():
            for conn in conns:
                conn.deadline = min(conn.deadline, end)
        self._next_deadline = min(self._next_deadline, end)

    def _on_readable(self, conn: Connection, _peer: Any) -> None:
        """Receive; start the request if all of it has come that is waited for without a thread."""
        if not (conn in self._phases[Phase.RECEIVING] or conn in self._phases[Phase.IDLE]):
            return  # closed for another one since the event
        try:
            is_open = conn.receive()
        except BlockingIOError:
            return
        except OSError:
            self._drop(conn)
            return
        if is_open:
            self._advance(conn)
        elif conn.has_head:
            self._start_request(conn)  # a client may close its side before it has read
        else:
            self._drop(conn)

    def _advance(self, conn: Connection) -> None:
        """Go on with a connection by what was received of its next request."""
        if not conn.has_head:
            if conn not in self._phases[Phase.RECEIVING]:
                self._enter(conn, Phase.RECEIVING, self._settings.head_seconds)
        elif conn.has_body or not conn.is_body_worth_waiting:
            self._start_request(conn)
        elif not conn.waits_for_body:
            conn.waits_for_body = True
            self._enter(conn, Phase.RECEIVING, GATHER_BODY_SECONDS)

    def _start_request(self, conn: Connection) -> None:
        self._leave(conn)
        conn.hand_over()
        self.enqueue_req(conn)

    def finish_request(self, conn: Connection, future: "Future[Any]") -> None:
        """Go on with a connection after a thread has answered its request, or failed to."""
        has_failed = future.cancelled() or future.exception() is not None
        conn.keeps_open = not has_failed and bool(future.result())
        if conn.sock.fileno() < 0 or conn.sock.is_stalled:
            self._drop(conn)
        elif conn.sock.unsent:
            steps = 1 + len(conn.sock.unsent) // WRITE_STEP_BYTES
            self._enter(conn, Phase.SENDING, steps * self._settings.write_seconds)
            while self._unsent_bytes > MAX_UNSENT_BYTES and len(self._phases[Phase.SENDING]) > 1:
                self._drop(next(iter(self._phases[Phase.SENDING])))
        else:
            self._after_response(conn)

    def _on_writable(self, conn: Connection, _peer: Any) -> None:
        if conn not in self._phases[Phase.SENDING]:
            return
        before = len(conn.sock.unsent)
        try:
            conn.sock.send_unsent()
        except OSError:
            self._drop(conn)
            return
        self._unsent_bytes -= before - len(conn.sock.unsent)
        # the last to be closed for another: its client reads
        self._phases[Phase.SENDING][conn] = self._phases[Phase.SENDING].pop(conn)
        if not conn.sock.unsent:
            self._after_response(conn)

    def _after_response(self, conn: Connection) -> None:
        if not conn.keeps_open:
            self._close(conn)
            return
        conn.take_pipelined()
        self._enter(conn, Phase.IDLE, self.cfg.keepalive if self.alive else STOP_SECONDS)
        if conn.received:
            self._advance(conn)

    def _close(self, conn: Connection) -> None:
        """Say that nothing more comes, and discard what does until the client closes.

        A client that still sends when its connection is closed may never see the response.
        """
        try:
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._drop(conn)
            return
        conn.closes_until = time.monotonic() + self._settings.body_seconds
        self._enter(conn, Phase.CLOSING, DISCARD_IDLE_SECONDS if self.alive else STOP_SECONDS)

    def _on_discardable(self, conn: Connection, _peer: Any) -> None:
        if conn not in self._phases[Phase.CLOSING]:
            return
        try:
            count = conn.discard(DISCARD_SIZE)
        except BlockingIOError:
            return
        except OSError:
            count = 0
        if not count or conn.discarded_bytes > MAX_DISCARDED_BYTES:
            self._drop(conn)
        elif self.alive:
            conn.deadline = min(time.monotonic() + DISCARD_IDLE_SECONDS, conn.closes_until)

    def _enter(self, conn: Connection, phase: Phase, seconds: float) -> None:
        """Watch a connection for what its phase waits for, until a deadline."""
        self._leave(conn)
        event, callback = {
            Phase.RECEIVING: (selectors.EVENT_READ, self._on_readable),
            Phase.IDLE: (selectors.EVENT_READ, self._on_readable),
            Phase.SENDING: (selectors.EVENT_WRITE, self._on_writable),
            Phase.CLOSING: (selectors.EVENT_READ, self._on_discardable),
        }[phase]
        self._phases[phase][conn] = None
        if phase is Phase.SENDING:
            self._unsent_bytes += len(conn.sock.unsent)
        conn.deadline = time.monotonic() + seconds
        self._next_deadline = min(self._next_deadline, conn.deadline)
        self.poller.register(conn.sock, event, partial(callback, conn))

    def _leave(self, conn: Connection) -> None:
        for phase, conns in self._phases.items():
            if conn in conns:
                del conns[conn]
                self.poller.unregister(conn.sock)
                if phase is Phase.SENDING:
                    self._unsent_bytes -= len(conn.sock.unsent)

    def _drop(self, conn: Connection) -> None:
        """Close at once; of an unfinished response nothing more is sent."""
        self._leave(conn)
        self.nr_conns -= 1
        if conn.sock.fileno() >= 0 and (conn.sock.unsent or conn.sock.is_stalled):
            conn.sock.abort()
        else:
            conn.close()

    def _close_oldest(self) -> bool:
        """Close the connection that has done nothing for the longest time; False without one."""
        oldest = next((next(iter(conns)) for conns in self._phases.values() if conns), None)
        if oldest is not None:
            self._drop(oldest)
        return oldest is not None
