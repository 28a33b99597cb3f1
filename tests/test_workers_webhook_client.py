"""The client that calls webhooks: whom it connects to, over TLS too, and which answers it reads."""

import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue

import pytest

from faults.webhooks.receiver import NO_ANSWER, WebhookReceiver, running_receiver
from jobs.spec.notify import parse_url
from jobs.webhooks.addresses import AddressRules
from tests.certificates import make_certificate
from tests.needs import needs
from workers.webhook_client import Request, Response, WebhookClient

LOCAL = AddressRules(["localhost"])


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    with running_receiver() as server:
        yield server


def ask(rules: AddressRules, url: str) -> Response:
    """Send one message with a client of its own."""
    answers: SimpleQueue[Response] = SimpleQueue()
    client = WebhookClient(rules)
    headers = {"content-length": "2", "webhook-id": "msg"}
    client.send([Request(parse_url(url), headers, b"{}", answers.put)])
    try:
        return answers.get(timeout=60)
    finally:
        client.close()


def test_each_connection_is_checked_whatever_the_name_meant_before(
    receiver: WebhookReceiver,
) -> None:
    port = receiver.url.rpartition(":")[2]
    refused = ask(AddressRules(), f"http://localhost:{port}/")
    assert refused.status is None and "no public address" in str(refused.error)
    refused = ask(AddressRules(), receiver.url)
    assert refused.status is None and "no public address" in str(refused.error)
    assert receiver.calls == []
    assert ask(LOCAL, f"http://localhost:{port}/") == Response(204)
    receiver.answer = lambda call: 307
    assert ask(LOCAL, f"http://localhost:{port}/") == Response(307)
    assert [call.path for call in receiver.calls] == ["/", "/"]


def test_what_gives_no_answer_is_told_as_it_is(receiver: WebhookReceiver) -> None:
    receiver.answer = lambda call: NO_ANSWER
    port = receiver.url.rpartition(":")[2]
    assert ask(LOCAL, f"http://localhost:{port}/") == Response(
        None, "ConnectionError: it closed the connection without an answer"
    )
    gone = ask(LOCAL, "http://localhost:1/")
    assert gone.status is None and "ConnectionRefusedError" in str(gone.error)
    unknown = ask(AddressRules(), "http://no-such-name.invalid/")
    assert unknown.status is None and unknown.error


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 2", Response(200)),
        (b"HTTP/1.0 2", Response(200)),
        (b"no HTTP at all\r\n\r\n", "RemoteProtocolError: illegal status line"),
        (b"HTTP/1.1 200 OK\r\n", "ConnectionError: it closed the connection"),
    ],
    ids=["hints before it", "HTTP/1.0", "another protocol", "half a head"],
)
def test_an_answer_is_read_as_far_as_its_status(sent: bytes, expected: Response | str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(sent)
                if isinstance(expected, Response):  # in two parts
                    connection.sendall(b"00 OK\r\nContent-Length: 5\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        response = ask(LOCAL, f"http://localhost:{server.getsockname()[1]}/")
        thread.join()
    assert response == expected or str(response.error).startswith(str(expected))


@needs("openssl")
def test_a_certificate_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = make_certificate(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(*files)
    with running_receiver(tls) as receiver:
        port = receiver.url.rpartition(":")[2]
        unknown = ask(LOCAL, f"https://localhost:{port}/")
        assert unknown.status is None and "certificate verify failed" in str(unknown.error)
        monkeypatch.setenv("SSL_CERT_FILE", str(files.certificate))
        assert ask(LOCAL, f"https://localhost:{port}/") == Response(204)
        other_name = ask(AddressRules(["127.0.0.1"]), f"https://127.0.0.1:{port}/")
        assert other_name.status is None and "IP address mismatch" in str(other_name.error)
        assert [call.path for call in receiver.calls] == ["/"]
