"""Connections that are held: more of them than threads and places stop no answer, and they end."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from api.client_socket import ClientSocket
from api.held_requests import HeldRequestLimit
from api.server import max_connections
from jobs.ledger.client import JobLedger
from jobs.spec.reading import read_spec
from jobs.store.connection import connect
from tests.api_process import running_api
from tests.manual_worker import ManualWorker
from tests.support import ADMIN_KEY, running_store, settings_for, small_spec, wait_until

THREADS, HELD = 8, 24
REFUSAL_TRIES = 250  # of a download, until all places are taken
ESTABLISHED = "01"  # in /proc/net/tcp
KEY = f"Authorization: Bearer {ADMIN_KEY}"
JSON_BODY = "Content-Type: application/json\r\nContent-Length: 1000"
TICKS, WEIGHTS = 200_000, bytes(12 << 20)
#: no connection of the first service ends by a deadline; none of the second by anything else
LONG, SHORT = "3600", "0.3"

#: kind -> request line, headers
HELD_REQUESTS = {
    "head": ("GET /v1/jobs HTTP/1.1", None),
    "no_key": ("POST /v1/jobs HTTP/1.1", JSON_BODY),
    "json": ("POST /v1/jobs HTTP/1.1", f"{JSON_BODY}\r\n{KEY}"),
    "chunked": (
        "POST /v1/jobs HTTP/1.1",
        f"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n{KEY}",
    ),
    "upload": (
        "POST /v1/datasets HTTP/1.1",
        f"Content-Type: text/csv\r\nContent-Length: 9999999\r\n{KEY}",
    ),
    "download": ("GET {job}/checkpoints/latest/files/model.safetensors HTTP/1.1", KEY),
    "export": (
        "GET {job}/history?columns=loss,lr HTTP/1.1",
        f"Accept: application/x-ndjson\r\n{KEY}",
    ),
    "page": ("GET {job}/history?columns=loss,lr&limit=100000 HTTP/1.1", KEY),
    "stream": ("GET {job}/events HTTP/1.1", f"Accept: text/event-stream\r\n{KEY}"),
    "wait": ("GET {job}?wait=30&until=end HTTP/1.1", KEY),
}


@dataclass(frozen=True)
class HeldService:
    """An API of one process with few threads, and a running job of it."""

    http: httpx.Client
    job: str  # its path

    def send(self, kind: str) -> socket.socket:
        """Send a request, or the beginning of one, on a connection that takes little."""
        line, headers = HELD_REQUESTS[kind]
        head = f"{line.format(job=self.job)}\r\nHost: x\r\n"
        return self.connect((head + (f"{headers}\r\n\r\n" if headers else "")).encode())

    def connect(self, sent: bytes) -> socket.socket:
        """Open a connection and send bytes."""
        peer = socket.socket()
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.settimeout(30)
        peer.connect((self.http.base_url.host, self.http.base_url.port))
        peer.sendall(sent)
        return peer

    @contextmanager
    def hold(self, kind: str) -> Iterator[list[socket.socket]]:
        """Hold more connections of one kind than there are threads."""
        with ExitStack() as stack:
            yield [stack.enter_context(closing(self.send(kind))) for _ in range(HELD)]

    def get_new(self, path: str) -> httpx.Response:
        """Send a GET on a connection of its own."""
        url, headers = f"{self.http.base_url}{path}", self.http.headers
        return httpx.get(url, headers=headers, timeout=30, verify=False)


@contextmanager
def running_held_service(data: Path, deadlines: str) -> Iterator[HeldService]:
    env = {f"TICKFORGE_{name}_SECONDS": deadlines for name in ("HEAD", "BODY", "WRITE")}
    env |= {"TICKFORGE_API_THREADS": str(THREADS), "TICKFORGE_API_PROCESSES": "1"}
    with ExitStack() as stack:
        url = stack.enter_context(running_store()).url
        store = stack.enter_context(closing(connect(url)))
        spec = read_spec(small_spec(), max_parameters=10**9)
        job_id = JobLedger(store).submit("default", spec).job_id
        worker = ManualWorker(store, settings_for(url, data))
        worker.record(np.random.default_rng(1).random(TICKS, np.float32))
        worker.save(WEIGHTS)
        client = stack.enter_context(running_api(url, data, **env))
        yield HeldService(client, f"/v1/jobs/{job_id}")


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HeldService]:
    """A service whose deadlines are an hour away."""
    with running_held_service(tmp_path_factory.mktemp("patient"), LONG) as service:
        yield service


@pytest.mark.parametrize("kind", HELD_REQUESTS)
def test_held_connections_take_no_thread_that_others_need(patient: HeldService, kind: str) -> None:
    with patient.hold(kind):
        for _ in range(3):
            assert patient.get_new("/healthz").status_code == 200
            assert patient.get_new(patient.job).json()["status"] == "running"
        body = small_spec(name=kind)
        assert patient.http.post("/v1/jobs", json=body, timeout=60).status_code == 202


def test_downloads_and_slow_bodies_beyond_the_places_are_503(patient: HeldService) -> None:
    path = f"{patient.job}/checkpoints/latest/files/model.safetensors"
    for kind in ("download", "upload"):
        wait_until(partial(is_crowded_by, patient, kind, path), 60)
        wait_until(lambda: patient.get_new(path).content == WEIGHTS, 30)  # the places are free


def is_crowded_by(service: HeldService, kind: str, path: str) -> bool:
    """Hold requests of a kind; return whether they took all places for downloads.

    They do not where connections that were closed just now still have some.
    """
    with service.hold(kind) as held:
        answers = [peer.recv(12) for peer in held if kind == "download"]
        if kind == "download" and b"HTTP/1.1 200" not in answers:
            return False
        for _ in range(REFUSAL_TRIES):
            if refused := refused_download(service, path):
                break
            time.sleep(0.02)
        else:
            return False
        assert refused.headers["Retry-After"] == "2"
        assert refused.json()["type"] == "urn:tickforge:problem:crowded"
        metrics = service.get_new(f"{path.rpartition('/')[0]}/state.json").json()["metrics"]
        assert metrics == {}
        return True


def refused_download(service: HeldService, path: str) -> Any:
    response = service.get_new(path)
    return response if response.status_code == 503 else None


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HeldService]:
    """A service whose deadlines are over at once."""
    with running_held_service(tmp_path_factory.mktemp("strict"), SHORT) as service:
        yield service


@pytest.mark.parametrize(
    "kind", [kind for kind in HELD_REQUESTS if kind not in ("page", "stream", "wait")]
)
def test_each_held_connection_ends_by_a_deadline(strict: HeldService, kind: str) -> None:
    with closing(strict.send(kind)) as peer:
        wait_until(lambda: has_ended(peer), 10, "the end of the connection")


def has_ended(peer: socket.socket) -> bool:
    """Whether the server no longer holds a connection; a client need not be told."""
    try:
        server_end = [f"{port:04X}" for _, port in (peer.getpeername(), peer.getsockname())]
    except OSError:
        return True  # it was reset
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, state, *_ = line.split()
        if [local[-4:], remote[-4:]] == server_end:
            return state != ESTABLISHED
    return True


def test_a_trickle_holds_no_longer_than_silence(strict: HeldService) -> None:
    with closing(strict.send("head")) as head, closing(strict.send("upload")) as body:
        for peer in (head, body):
            ends_at = time.monotonic() + 60
            while not has_ended(peer):
                assert time.monotonic() < ends_at, "it is still held"
                try:
                    peer.sendall(b"x")
                except OSError:
                    break
                time.sleep(0.02)


REFUSALS = {
    "401": ("POST /v1/jobs HTTP/1.1", JSON_BODY),
    "404": ("POST /v1/nothing HTTP/1.1", f"{JSON_BODY}\r\n{KEY}"),
    "405": ("PUT /v1/jobs HTTP/1.1", f"{JSON_BODY}\r\n{KEY}"),
    "413": (
        "POST /v1/jobs HTTP/1.1",
        f"Content-Type: application/json\r\nContent-Length: 2000000\r\n{KEY}",
    ),
    "415": ("POST /v1/jobs HTTP/1.1", f"Content-Type: text/plain\r\nContent-Length: 9\r\n{KEY}"),
    "417": ("POST /v1/jobs HTTP/1.1", f"Expect: more\r\n{JSON_BODY}"),
}


@pytest.mark.parametrize("status", REFUSALS)
@pytest.mark.parametrize("more", ["", "\r\nExpect: 100-continue"])
def test_a_refusal_does_not_wait_for_the_body(patient: HeldService, status: str, more: str) -> None:
    line, headers = REFUSALS[status]
    with closing(patient.connect(f"{line}\r\nHost: x\r\n{headers}{more}\r\n\r\n".encode())) as peer:
        received = b""
        while piece := peer.recv(65536):
            received += piece
    assert received.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"connection: close" in received.lower()


def test_a_body_that_is_read_is_asked_for_first(patient: HeldService) -> None:
    head = f"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n{JSON_BODY}\r\n{KEY}"
    with closing(patient.connect(f"{head}\r\n\r\n".encode())) as peer:
        assert peer.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        peer.sendall(b"[".ljust(1000))
        assert peer.recv(12) == b"HTTP/1.1 400"


def test_a_response_is_read_by_a_client_that_sends_its_whole_body_first(
    patient: HeldService,
) -> None:
    head = b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 20000000\r\n\r\n"
    with closing(patient.connect(head)) as peer:
        for _ in range(20):
            peer.sendall(bytes(1_000_000))
        assert peer.recv(12) == b"HTTP/1.1 401"


def test_requests_that_follow_each_other_at_once_are_all_answered(patient: HeldService) -> None:
    body = b'{"a": 1}'
    post = f"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{KEY}\r\n"
    sent = post.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body
    with closing(patient.connect(3 * sent + b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")) as peer:
        received = b""
        while received.count(b"HTTP/1.1 ") < 4:
            received += peer.recv(65536)
    assert [int(part[:3]) for part in received.split(b"HTTP/1.1 ")[1:]] == [422, 422, 422, 200]


def test_the_oldest_idle_connection_is_closed_for_a_new_one(tmp_path: Path) -> None:
    env = {"THREADS": "8", "PROCESSES": "1"}
    options = {f"TICKFORGE_API_{name}": value for name, value in env.items()}
    options |= {"TICKFORGE_HEAD_SECONDS": LONG, "TICKFORGE_MAX_CONNECTIONS": "100"}
    with ExitStack() as stack:
        server = stack.enter_context(running_store())
        service = HeldService(stack.enter_context(running_api(server.url, tmp_path, **options)), "")
        held = [stack.enter_context(closing(service.connect(b"GET /"))) for _ in range(150)]
        assert service.get_new("/healthz").status_code == 200
        wait_until(lambda: sum(map(has_ended, held)) >= 50, 30)
        assert has_ended(held[0]) and not has_ended(held[-1])


def test_connections_leave_files_for_threads() -> None:
    assert max_connections(256, 1024, 10_000) == 448
    assert max_connections(256, 20_000, 10_000) == 10_000
    assert max_connections(8, 20_000, 100) == 100
    assert max_connections(8, 0, 10_000) == 10_000


def test_one_tenants_transfers_leave_places_to_others() -> None:
    limit = HeldRequestLimit(16)
    of_one = [limit.acquire_transfer("one") for _ in range(12)]
    assert of_one.count(True) == 6
    while limit.acquire():
        pass
    assert limit.in_use == limit.limit == 12
    assert [limit.acquire_transfer(name) for name in ("two", "two", "three", "four")] == [
        True, False, True, False,
    ]  # fmt: skip
    limit.release_transfer("one")
    limit.release_transfer("two")
    limit.release_transfer("three")
    assert limit.in_use == 11 and limit.acquire()


def test_only_a_request_with_a_place_waits_for_its_reader() -> None:
    accepted, client = socket.socketpair()
    sent = np.random.default_rng(1).bytes(4 << 20)
    with ClientSocket(accepted, write_seconds=0.01) as peer, closing(client):
        peer.sendall(sent)
        received = b""
        while peer.unsent:
            received += client.recv(1 << 20)
            peer.send_unsent()
        while len(received) < len(sent):
            received += client.recv(1 << 20)
        assert received == sent
        peer.is_held = True
        with pytest.raises(ConnectionResetError):
            peer.sendall(sent)
