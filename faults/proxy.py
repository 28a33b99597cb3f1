"""A TCP proxy in front of the store, whose moods are a network's. Knows RESP only as bytes.

One thread moves the bytes of every connection, a link. Who controls it sets its mood: a delay,
deaf (what clients say goes nowhere), mute (what the store says goes nowhere), refusing (new
connections are closed). Moods and traps may be for some links only: `who` is asked with the port
of the link's client. A trap waits for the n-th call of a script (of one script: by its hash, as
EVALSHA names it), and springs once.
"""

import contextlib
import selectors
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

PIECE = 1 << 16
LOOK_SECONDS = 0.01  # between two looks at what was delayed
SEND_SECONDS = 1.0  # who does not read (a frozen process) loses its link and holds up nobody
Who = Callable[[int], bool]
#: what a trap does: nothing reaches the store; or it runs, and its reply is lost, cut, or swallowed
Spring = Literal["request", "reply", "inside", "swallow"]


def everyone(_port: int) -> bool:
    """Whom a mood is for when nobody is named."""
    return True


@dataclass
class Trap:
    """Springs at the `nth` script call of a link in `who`; `act` is called just before.

    At a request, `act` comes before the script has run; at anything else, after it.
    """

    spring: Spring
    nth: int = 1
    sha: bytes = b"EVALSHA"
    who: Who = everyone
    act: Callable[[], None] = field(default=lambda: None)
    sprung: threading.Event = field(default_factory=threading.Event)


@dataclass
class Mood:
    """How the network is, for the links in `who`."""

    who: Who = everyone
    delay: float = 0.0
    deaf: bool = False
    mute: bool = False
    refusing: bool = False


@dataclass
class Link:
    """One client's connection and ours to the store."""

    client: socket.socket
    store: socket.socket
    port: int
    trap: Trap | None = None  # springs with the next reply
    late: list[tuple[float, socket.socket, bytes]] = field(default_factory=list)

    def close(self) -> None:
        self.client.close()
        self.store.close()


class Proxy:
    """A context: it listens on a free port of 127.0.0.1 while inside."""

    def __init__(self, upstream: Path) -> None:
        self._upstream = str(upstream)
        self._server = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._server.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._server, selectors.EVENT_READ)
        self._links: dict[socket.socket, Link] = {}
        self._mood, self._traps, self._lock = Mood(), list[Trap](), threading.Lock()
        self._over = False
        self._thread = threading.Thread(target=self._go_round, name="proxy", daemon=True)

    @property
    def url(self) -> str:
        """Where clients find the store."""
        return f"redis://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _at: TracebackType | None,
    ) -> None:
        self._over = True
        self._thread.join()
        self.cut()
        self._server.close()
        self._selector.close()

    def behave(self, mood: Mood | None = None) -> None:
        """Take on a mood; None: a good network again."""
        with self._lock:
            self._mood = mood or Mood()

    def set(self, trap: Trap) -> Trap:
        """Set a trap; `sprung` tells when it has sprung."""
        with self._lock:
            self._traps.append(trap)
        return trap

    def clear(self) -> None:
        """Take up the traps that have not sprung."""
        with self._lock:
            self._traps.clear()

    def cut(self, who: Who = everyone) -> int:
        """Close links now; gives how many."""
        with self._lock:
            found = {id(link): link for link in self._links.values() if who(link.port)}
            for link in found.values():
                self._drop(link)
        return len(found)

    def _go_round(self) -> None:
        while not self._over:
            for key, _ in self._selector.select(LOOK_SECONDS):
                with self._lock, contextlib.suppress(OSError):
                    self._attend(key.fileobj)  # type: ignore[arg-type]
            with self._lock:
                self._deliver()

    def _attend(self, ready: socket.socket) -> None:
        if ready is self._server:
            return self._accept()
        link = self._links.get(ready)
        if link is None:  # dropped in this same round
            return
        try:
            data = ready.recv(PIECE)
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
            if self._mood.refusing and self._mood.who(port):
                raise ConnectionRefusedError
            store.connect(self._upstream)
        except OSError:  # the store is away: a client sees its connection closed at once
            client.close()
            store.close()
            return
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.settimeout(SEND_SECONDS)
        store.settimeout(SEND_SECONDS)
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
        mood = self._mood
        if mood.deaf and mood.who(link.port):
            return
        if b"EVALSHA" in data and (trap := self._trapped(link, data)):
            if trap.spring == "request":
                self._spring(trap)
                return self._drop(link)
            link.trap = trap
        self._send(link, link.store, data)

    def _from_store(self, link: Link, data: bytes) -> None:
        mood, trap = self._mood, link.trap
        if mood.mute and mood.who(link.port):
            return
        if trap is None:
            return self._send(link, link.client, data)
        link.trap = None
        self._spring(trap)
        if trap.spring == "inside":
            link.client.sendall(data[: max(1, len(data) // 2)])
        if trap.spring != "swallow":
            self._drop(link)

    def _spring(self, trap: Trap) -> None:
        trap.act()
        trap.sprung.set()

    def _trapped(self, link: Link, data: bytes) -> Trap | None:
        for trap in [trap for trap in self._traps if trap.sha in data and trap.who(link.port)]:
            trap.nth -= 1
            if trap.nth <= 0:
                self._traps.remove(trap)
                return trap
        return None

    def _send(self, link: Link, end: socket.socket, data: bytes) -> None:
        if link.late or (self._mood.delay and self._mood.who(link.port)):
            link.late.append((time.monotonic() + self._mood.delay, end, data))
            return
        try:
            end.sendall(data)
        except OSError:
            self._drop(link)

    def _deliver(self) -> None:
        """Send what has been late for long enough, in its order."""
        now = time.monotonic()
        for link in [link for link in self._links.values() if link.late]:
            while link.late and link.late[0][0] <= now:
                _, end, data = link.late.pop(0)
                with contextlib.suppress(OSError):
                    end.sendall(data)
