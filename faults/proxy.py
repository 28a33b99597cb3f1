"""A TCP proxy in front of the store that can behave like a bad network. Knows RESP only as bytes.

One thread moves the bytes of every connection, a link. A network condition adds a delay, drops
requests, drops replies, or closes new connections. Conditions and breakpoints may hold for some
links only: `ports` is called with the port of the link's client. A breakpoint waits for the n-th
call of a script (named by its hash, as in EVALSHA), and is hit once.
"""

import contextlib
import selectors
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from jobs.background_thread import BackgroundThread

READ_SIZE = 1 << 16
POLL_SECONDS = 0.01  # between two looks at what was delayed
#: a client that does not read (a frozen process) loses its link and holds up no other
SEND_TIMEOUT_SECONDS = 1.0
PortFilter = Callable[[int], bool]
#: what a breakpoint does: drop the request; or run it, and lose, cut or withhold its reply
BreakpointMode = Literal["request", "reply", "inside", "swallow"]


def match_all_ports(_port: int) -> bool:
    """Match every link; the default."""
    return True


@dataclass
class ScriptBreakpoint:
    """Is hit at the `nth` script call of a link in `ports`; `act` is called just before.

    At a request, `act` comes before the script has run; otherwise after it.
    """

    mode: BreakpointMode
    nth: int = 1
    sha: bytes = b"EVALSHA"
    ports: PortFilter = match_all_ports
    action: Callable[[], None] = field(default=lambda: None)
    hit: threading.Event = field(default_factory=threading.Event)


@dataclass
class NetworkCondition:
    """The behaviour of the network for the links in `ports`."""

    ports: PortFilter = match_all_ports
    delay: float = 0.0
    drop_requests: bool = False
    drop_replies: bool = False
    refuse_connections: bool = False


@dataclass
class Link:
    """One client's connection, and the proxy's connection to the store for it."""

    client: socket.socket
    store: socket.socket
    port: int
    pending_breakpoint: ScriptBreakpoint | None = None  # hit with the next reply
    delayed: list[tuple[float, socket.socket, bytes]] = field(default_factory=list)

    def close(self) -> None:
        self.client.close()
        self.store.close()


class Proxy(BackgroundThread):
    """A context in which the proxy listens on a free port of 127.0.0.1."""

    def __init__(self, upstream: Path) -> None:
        super().__init__("proxy")
        self._upstream = str(upstream)
        self._server = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._server.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._server, selectors.EVENT_READ)
        self._links: dict[socket.socket, Link] = {}
        self._condition, self._lock = NetworkCondition(), threading.Lock()
        self._breakpoints: list[ScriptBreakpoint] = []

    @property
    def url(self) -> str:
        """Return the URL at which clients reach the store."""
        return f"redis://127.0.0.1:{self.port}"

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self.cut_links()
        self._server.close()
        self._selector.close()

    def set_condition(self, condition: NetworkCondition | None = None) -> None:
        """Set the network condition; without one, the network is good."""
        with self._lock:
            self._condition = condition or NetworkCondition()

    def add_breakpoint(self, breakpoint_: ScriptBreakpoint) -> ScriptBreakpoint:
        """Add a breakpoint; its event `hit` is set when it is hit."""
        with self._lock:
            self._breakpoints.append(breakpoint_)
        return breakpoint_

    def clear_breakpoints(self) -> None:
        """Remove the breakpoints that were not hit."""
        with self._lock:
            self._breakpoints.clear()

    def cut_links(self, ports: PortFilter = match_all_ports) -> int:
        """Close links now; return how many."""
        with self._lock:
            links = {id(link): link for link in self._links.values() if ports(link.port)}
            for link in links.values():
                self._drop(link)
        return len(links)

    def _run(self) -> None:
        while not self._stopped.is_set():
            for key, _ in self._selector.select(POLL_SECONDS):
                with self._lock, contextlib.suppress(OSError):
                    self._handle_ready(key.fileobj)  # type: ignore[arg-type]
            with self._lock:
                self._send_delayed()

    def _handle_ready(self, ready: socket.socket) -> None:
        if ready is self._server:
            return self._accept()
        link = self._links.get(ready)
        if link is None:  # dropped in this same round
            return
        try:
            data = ready.recv(READ_SIZE)
        except OSError:
            data = b""
        if not data:
            return self._drop(link)
        if ready is link.client:
            self._from_client(link, data)
        else:
            self._from_store(link, data)

    def _accept(self) -> None:
        client, (_, port) = self._server.accept()
        store = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            if self._condition.refuse_connections and self._condition.ports(port):
                raise ConnectionRefusedError
            store.connect(self._upstream)
        except OSError:  # the store is away: a client sees its connection closed at once
            client.close()
            store.close()
            return
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.settimeout(SEND_TIMEOUT_SECONDS)
        store.settimeout(SEND_TIMEOUT_SECONDS)
        link = Link(client, store, port)
        for end in (client, store):
            self._links[end] = link
            self._selector.register(end, selectors.EVENT_READ)

    def _drop(self, link: Link) -> None:
        for end in (link.client, link.store):
            if self._links.pop(end, None) is not None:
                self._selector.unregister(end)
        link.close()

    def _from_client(self, link: Link, data: bytes) -> None:
        condition = self._condition
        if condition.drop_requests and condition.ports(link.port):
            return
        if b"EVALSHA" in data and (breakpoint_ := self._match_breakpoint(link, data)):
            if breakpoint_.mode == "request":
                self._trigger(breakpoint_)
                return self._drop(link)
            link.pending_breakpoint = breakpoint_
        self._send(link, link.store, data)

    def _from_store(self, link: Link, data: bytes) -> None:
        condition, breakpoint_ = self._condition, link.pending_breakpoint
        if condition.drop_replies and condition.ports(link.port):
            return
        if breakpoint_ is None:
            return self._send(link, link.client, data)
        link.pending_breakpoint = None
        self._trigger(breakpoint_)
        if breakpoint_.mode == "inside":
            link.client.sendall(data[: max(1, len(data) // 2)])
        if breakpoint_.mode != "swallow":
            self._drop(link)

    def _trigger(self, breakpoint_: ScriptBreakpoint) -> None:
        breakpoint_.action()
        breakpoint_.hit.set()

    def _match_breakpoint(self, link: Link, data: bytes) -> ScriptBreakpoint | None:
        for breakpoint_ in [b for b in self._breakpoints if b.sha in data and b.ports(link.port)]:
            breakpoint_.nth -= 1
            if breakpoint_.nth <= 0:
                self._breakpoints.remove(breakpoint_)
                return breakpoint_
        return None

    def _send(self, link: Link, end: socket.socket, data: bytes) -> None:
        if link.delayed or (self._condition.delay and self._condition.ports(link.port)):
            link.delayed.append((time.monotonic() + self._condition.delay, end, data))
            return
        try:
            end.sendall(data)
        except OSError:
            self._drop(link)

    def _send_delayed(self) -> None:
        """Send what has been delayed for long enough, in order."""
        now = time.monotonic()
        for link in [link for link in self._links.values() if link.delayed]:
            while link.delayed and link.delayed[0][0] <= now:
                _, end, data = link.delayed.pop(0)
                with contextlib.suppress(OSError):
                    end.sendall(data)
