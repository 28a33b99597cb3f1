"""Clients that hold connections, and one that reads beside them, in processes of their own.

`python -m bench.held_clients hold KIND URL KEY COUNT JOB DATASET` keeps COUNT connections of one
kind until its input ends; what the server closes is opened again, at most REOPENED_PER_SECOND.
`python -m bench.held_clients read URL KEY COUNT PATH` reads one path, a connection for each read.
For loopback alone.
"""

import json
import resource
import select
import socket
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

OPENED_PER_SECOND, REOPENED_PER_SECOND = 1000.0, 50.0
SETTLE_SECONDS = 3.0  # 2,000 requests at once are a queue of some seconds, held or not
TRICKLE_SECONDS = 1.0  # between two bytes of each upload
RECEIVE_BUFFER_BYTES = 4096
READ_TIMEOUT_SECONDS, READ_PAUSE_SECONDS, MAX_FAILED_READS = 10.0, 0.01, 3
CLOSED = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR

#: kind -> the request line and headers of a held connection; {key}, {job} and {dataset} are set
REQUESTS = {
    "head without an end": "GET /v1/jobs/{job} HTTP/1.1\r\nHost: x\r\n",
    "body without a key": "POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n"
    "Content-Type: application/json\r\n\r\n",
    "JSON that never comes": "POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n"
    "Content-Type: application/json\r\nAuthorization: Bearer {key}\r\n\r\n",
    "upload, a byte a second": "POST /v1/datasets HTTP/1.1\r\nHost: x\r\n"
    "Content-Length: 9999999\r\nContent-Type: text/plain\r\nAuthorization: Bearer {key}\r\n\r\n",
    "download that nobody reads": "GET /v1/datasets/{dataset}/content HTTP/1.1\r\nHost: x\r\n"
    "Authorization: Bearer {key}\r\n\r\n",
    "export that nobody reads": "GET /v1/jobs/{job}/history HTTP/1.1\r\nHost: x\r\n"
    "Accept: text/csv\r\nAuthorization: Bearer {key}\r\n\r\n",
    "page that nobody reads": "GET /v1/jobs/{job}/history?limit=100000 HTTP/1.1\r\nHost: x\r\n"
    "Authorization: Bearer {key}\r\n\r\n",
    "wait of 30 s": "GET /v1/jobs/{job}?wait=30&until=end HTTP/1.1\r\nHost: x\r\n"
    "Authorization: Bearer {key}\r\n\r\n",
    "event stream": "GET /v1/jobs/{job}/events HTTP/1.1\r\nHost: x\r\n"
    "Accept: text/event-stream\r\nAuthorization: Bearer {key}\r\n\r\n",
}
TRICKLING, READING = ("upload, a byte a second",), ("wait of 30 s", "event stream")


@dataclass
class HeldConnections:
    """Open connections of one kind, watched for their end."""

    address: tuple[str, int]
    request: bytes
    reads: bool  # what comes; else the answer stays where it is
    poll: select.epoll = field(default_factory=select.epoll)
    peers: dict[int, socket.socket] = field(default_factory=dict)
    closed: int = 0  # by the server

    def open(self) -> None:
        """Open one more and send its request."""
        peer = socket.socket()
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        peer.settimeout(READ_TIMEOUT_SECONDS)
        peer.connect(self.address)
        peer.sendall(self.request)
        peer.setblocking(False)
        self.poll.register(peer, CLOSED | (select.EPOLLIN if self.reads else 0))
        self.peers[peer.fileno()] = peer

    def watch(self, seconds: float) -> None:
        """Drop the connections that end within that time."""
        for fd, _ in self.poll.poll(seconds):
            peer = self.peers[fd]
            try:
                is_open = self.reads and bool(peer.recv(1 << 16))
            except OSError:
                is_open = False
            if not is_open:
                self.closed += 1
                self.poll.unregister(fd)
                self.peers.pop(fd).close()

    def send_a_byte(self) -> None:
        """Send one byte of each body."""
        for peer in self.peers.values():
            try:
                peer.send(b"x")
            except OSError:
                continue  # closed: `watch` drops it


def hold(kind: str, url: str, key: str, count: int, job: str, dataset: str) -> None:
    """Open the connections, print a line, keep them until standard input ends; print the counts."""
    _raise_file_limit()
    parts = urlsplit(url)
    request = REQUESTS[kind].format(key=key, job=job, dataset=dataset).encode()
    address = parts.hostname or "127.0.0.1", parts.port or 80
    held = HeldConnections(address, request, kind in READING)
    for number in range(count):
        held.open()
        held.watch(1 / OPENED_PER_SECOND if number % 10 == 0 else 0)
    settled_at = time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < settled_at:
        held.watch(0.1)
    print("open", flush=True)
    standard_input = threading.Thread(target=sys.stdin.read, daemon=True)
    standard_input.start()
    trickled_at = time.monotonic()
    while standard_input.is_alive():
        held.watch(1 / REOPENED_PER_SECOND)
        if len(held.peers) < count:
            held.open()
        if kind in TRICKLING and time.monotonic() > trickled_at + TRICKLE_SECONDS:
            trickled_at = time.monotonic()
            held.send_a_byte()
    print(json.dumps({"open": len(held.peers), "closed": held.closed}), flush=True)


def read(url: str, key: str, count: int, path: str) -> None:
    """Read a path so often; print the seconds of each answer. Ends where no answer comes."""
    parts = urlsplit(url)
    address = parts.hostname or "127.0.0.1", parts.port or 80
    head = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n"
    latencies: list[float] = []
    failed = 0
    for _ in range(count):
        started = time.perf_counter()
        if not _is_answered(address, f"{head}\r\n".encode()):
            failed += 1
        latencies.append(time.perf_counter() - started)
        if failed == MAX_FAILED_READS:
            break
        time.sleep(READ_PAUSE_SECONDS)
    print(json.dumps({"took": latencies, "failed": failed}))


def _is_answered(address: tuple[str, int], request: bytes) -> bool:
    try:
        with socket.create_connection(address, timeout=READ_TIMEOUT_SECONDS) as peer:
            peer.sendall(request)
            return peer.recv(1 << 16).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def _raise_file_limit() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main(argv: Sequence[str]) -> None:
    """Do what the first argument says."""
    mode, *rest = argv
    if mode == "hold":
        kind, url, key, count, job, dataset = rest
        hold(kind, url, key, int(count), job, dataset)
    else:
        url, key, count, path = rest
        read(url, key, int(count), path)


if __name__ == "__main__":
    main(sys.argv[1:])
