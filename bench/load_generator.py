"""Clients of a measurement, in a process of their own: many open streams, or many requests.

`python -m bench.load_generator streams URL KEY COUNT JOB…` holds streams until its input ends;
`python -m bench.load_generator requests URL KEY SECONDS CLIENTS PATH [ETAG]` never pauses.
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

READ_SIZE = 1 << 16
RETRY_SECONDS = 0.2  # seconds before a refused stream is tried again


class ServerAddress:
    """The server's address, and the beginning of a request to it."""

    def __init__(self, url: str, key: str) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._head = f"Host: bench\r\nAuthorization: Bearer {key}\r\n"

    def connect(self) -> socket.socket:
        """Open a connection."""
        return socket.create_connection(self._address, timeout=30)

    def request(self, path: str, *headers: str) -> bytes:
        """Return the bytes of a GET request."""
        header_lines = "".join(f"{header}\r\n" for header in headers)
        return f"GET {path} HTTP/1.1\r\n{self._head}{header_lines}\r\n".encode()


class EventStreams:
    """Open event streams, read and counted."""

    def __init__(self, server: ServerAddress, jobs: Sequence[str]) -> None:
        self._server, self._jobs = server, jobs
        self._selector = selectors.DefaultSelector()
        self.open, self.refused, self.frames = 0, 0, 0

    def open_stream(self) -> None:
        """Open one more stream, retried while it is refused."""
        job = self._jobs[self.open % len(self._jobs)]
        while True:
            peer = self._server.connect()
            path = f"/v1/jobs/{job}/events"
            peer.sendall(self._server.request(path, "Accept: text/event-stream"))
            if peer.recv(READ_SIZE).startswith(b"HTTP/1.1 200"):
                break
            peer.close()
            self.refused += 1
            time.sleep(RETRY_SECONDS)
        peer.setblocking(False)
        self._selector.register(peer, selectors.EVENT_READ)
        self.open += 1

    def read(self, seconds: float) -> None:
        """Read from all streams for a while."""
        for key, _ in self._selector.select(seconds):
            peer = key.fileobj
            assert isinstance(peer, socket.socket)
            data = peer.recv(READ_SIZE)
            self.frames += data.count(b"event:")
            if not data:
                self._selector.unregister(peer)
                self.open -= 1


def hold_streams(server: ServerAddress, count: int, jobs: Sequence[str]) -> None:
    """Open streams, print a line, read them until standard input ends; then print the counts."""
    streams = EventStreams(server, jobs)
    while streams.open < count:
        streams.open_stream()
        streams.read(0)
    print("open", flush=True)
    reader = threading.Thread(target=sys.stdin.read, daemon=True)
    reader.start()
    started, frames = time.monotonic(), streams.frames
    while reader.is_alive():
        streams.read(0.1)
    rate = (streams.frames - frames) / (time.monotonic() - started)
    result = {"open": streams.open, "refused": streams.refused, "frames_per_second": rate}
    print(json.dumps(result), flush=True)


def send_requests(
    server: ServerAddress, seconds: float, clients: int, path: str, *etags: str
) -> None:
    """Send requests from that many clients without pause; print the seconds of each response."""
    request = server.request(path, *(f"If-None-Match: {etag}" for etag in etags))
    latencies: list[float] = []
    started = time.perf_counter()
    arguments = (server, request, started + seconds, latencies)
    threads = [threading.Thread(target=_request_until, args=arguments) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps({"seconds": time.perf_counter() - started, "took": latencies}))


def _request_until(
    server: ServerAddress, request: bytes, until: float, latencies: list[float]
) -> None:
    with server.connect() as peer:
        while (started := time.perf_counter()) < until:
            peer.sendall(request)
            _read_response(peer)
            latencies.append(time.perf_counter() - started)


def _read_response(peer: socket.socket) -> None:
    data = b""
    while b"\r\n\r\n" not in data:
        data += _receive(peer)
    head, _, body = data.partition(b"\r\n\r\n")
    if head[9:12] not in (b"200", b"304"):
        raise RuntimeError(head.decode())
    lines = head.lower().split(b"\r\n")
    length = next((int(x[15:]) for x in lines if x.startswith(b"content-length:")), 0)
    remaining = length - len(body)
    while remaining > 0:
        remaining -= len(_receive(peer))


def _receive(peer: socket.socket) -> bytes:
    data = peer.recv(READ_SIZE)
    if not data:
        raise RuntimeError("the server closed the connection")
    return data


if __name__ == "__main__":
    mode, url, key, *rest = sys.argv[1:]
    if mode == "streams":
        hold_streams(ServerAddress(url, key), int(rest[0]), rest[1:])
    else:
        send_requests(ServerAddress(url, key), float(rest[0]), int(rest[1]), *rest[2:])
