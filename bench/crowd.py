"""Clients of a measurement, in a process of their own: many open streams, or many requests.

`python -m bench.crowd streams URL KEY COUNT JOB…` holds streams until its input ends;
`python -m bench.crowd requests URL KEY SECONDS CLIENTS PATH [ETAG]` asks as fast as it can.
Plain sockets: a richer client would take the cores from what is measured.
"""

import json
import selectors
import socket
import sys
import threading
import time
from collections.abc import Sequence
from urllib.parse import urlsplit

PIECE = 1 << 16
PAUSE = 0.2  # seconds before a refused stream is tried again


class Place:
    """Where the server is, and how a request to it begins."""

    def __init__(self, url: str, key: str) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._head = f"Host: bench\r\nAuthorization: Bearer {key}\r\n"

    def connect(self) -> socket.socket:
        """Open a connection."""
        return socket.create_connection(self._address, timeout=30)

    def request(self, path: str, *headers: str) -> bytes:
        """Spell a GET."""
        more = "".join(f"{header}\r\n" for header in headers)
        return f"GET {path} HTTP/1.1\r\n{self._head}{more}\r\n".encode()


class Streams:
    """Open event streams, read and counted."""

    def __init__(self, place: Place, jobs: Sequence[str]) -> None:
        self._place, self._jobs = place, jobs
        self._selector = selectors.DefaultSelector()
        self.open, self.refused, self.frames = 0, 0, 0

    def add(self) -> None:
        """Open one more, however often it is refused."""
        job = self._jobs[self.open % len(self._jobs)]
        while True:
            peer = self._place.connect()
            path = f"/v1/jobs/{job}/events"
            peer.sendall(self._place.request(path, "Accept: text/event-stream"))
            first = peer.recv(PIECE)
            if first.startswith(b"HTTP/1.1 200"):
                break
            peer.close()
            self.refused += 1
            time.sleep(PAUSE)
        peer.setblocking(False)
        self._selector.register(peer, selectors.EVENT_READ)
        self.open += 1

    def read(self, seconds: float) -> None:
        """Read what comes for a while."""
        for key, _ in self._selector.select(seconds):
            peer = key.fileobj
            assert isinstance(peer, socket.socket)
            piece = peer.recv(PIECE)
            self.frames += piece.count(b"event:")
            if not piece:
                self._selector.unregister(peer)
                self.open -= 1


def hold(place: Place, count: int, jobs: Sequence[str]) -> None:
    """Open streams, say so, and read them until the standard input ends; then say how it went."""
    streams = Streams(place, jobs)
    while streams.open < count:
        streams.add()
        streams.read(0)
    print("open", flush=True)
    reader = threading.Thread(target=sys.stdin.read, daemon=True)
    reader.start()
    began, frames = time.monotonic(), streams.frames
    while reader.is_alive():
        streams.read(0.1)
    rate = (streams.frames - frames) / (time.monotonic() - began)
    told = {"open": streams.open, "refused": streams.refused, "frames_per_second": rate}
    print(json.dumps(told), flush=True)


def ask(place: Place, seconds: float, clients: int, path: str, etag: str | None) -> None:
    """Ask as fast as so many clients can; print the seconds of every answer and all time."""
    sent = place.request(path, *([f"If-None-Match: {etag}"] if etag else []))
    took: list[float] = []
    began = time.perf_counter()
    threads = [
        threading.Thread(target=_ask, args=(place, sent, began + seconds, took))
        for _ in range(clients)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps({"seconds": time.perf_counter() - began, "took": took}))


def _ask(place: Place, sent: bytes, until: float, took: list[float]) -> None:
    with place.connect() as peer:
        while (began := time.perf_counter()) < until:
            peer.sendall(sent)
            _read_answer(peer)
            took.append(time.perf_counter() - began)


def _read_answer(peer: socket.socket) -> None:
    data = b""
    while b"\r\n\r\n" not in data:
        data += _piece(peer)
    head, _, body = data.partition(b"\r\n\r\n")
    if head[9:12] not in (b"200", b"304"):
        raise RuntimeError(head.decode())
    lines = head.lower().split(b"\r\n")
    length = next((int(x[15:]) for x in lines if x.startswith(b"content-length:")), 0)
    left = length - len(body)
    while left > 0:
        left -= len(_piece(peer))


def _piece(peer: socket.socket) -> bytes:
    piece = peer.recv(PIECE)
    if not piece:
        raise RuntimeError("the server closed the connection")
    return piece


if __name__ == "__main__":
    way, url, key, *rest = sys.argv[1:]
    if way == "streams":
        hold(Place(url, key), int(rest[0]), rest[1:])
    else:
        etag = rest[3] if len(rest) > 3 else None
        ask(Place(url, key), float(rest[0]), int(rest[1]), rest[2], etag)
