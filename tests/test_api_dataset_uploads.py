"""Uploads through the real server: any length in constant memory, cut short, refused in time."""

import dataclasses
import gzip
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import psutil
import pytest
from click.testing import CliRunner

from api.app import create_app
from jobs.settings import Settings
from tests.api_process import running_api
from tests.datasets import CSV, FORM, PETS, TEXT, files_of, spec_on_dataset
from tests.stub_server import LOST_RESPONSE, StubResponse, running_stub
from tests.support import ADMIN_KEY, wait_until
from tickforge_client import Client, Conflict, Dataset, InvalidRequest, NotFound
from tickforge_client.cli import tickforge

MIB = 1 << 20
FORM_TYPE = f"{FORM}; boundary=between"
FORM_HEAD = b'--between\r\nContent-Disposition: form-data; name="f"; filename="x.csv"\r\n\r\n'


class Api(NamedTuple):
    """A running API with one process, and where it keeps its files."""

    http: httpx.Client
    data: Path

    @property
    def url(self) -> str:
        return str(self.http.base_url).rstrip("/")

    def files(self) -> list[str]:
        blobs = self.data / "artifacts" / "blobs"
        return files_of(blobs)

    def connect(self, head: str, kind: str = CSV) -> socket.socket:
        """A bare connection that has sent the head of an upload."""
        port = self.http.base_url.port
        assert port is not None
        opened = socket.create_connection(("127.0.0.1", port), timeout=10)
        lines = ("POST /v1/datasets HTTP/1.1", "Host: here", f"Authorization: Bearer {ADMIN_KEY}",
                 f"Content-Type: {kind}", head)  # fmt: skip
        opened.sendall("\r\n".join([*lines, "", ""]).encode())
        return opened


@pytest.fixture(scope="module")
def api(empty_store: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    data = tmp_path_factory.mktemp("data")
    with running_api(empty_store, data, TICKFORGE_API_PROCESSES="1") as http:
        yield Api(http, data)


def rows(count: int) -> bytes:
    """Rows of some 150 bytes."""
    numbers = ",".join(f"{0.123456789012345 * at:.17f}" for at in range(1, 7))
    return (f"{numbers},label\n" * count).encode()


def memory() -> int:
    """Resident bytes of the API's worker, a grandchild of ours with no child of its own."""
    processes = [
        process for process in psutil.Process().children(recursive=True) if not process.children()
    ]
    api_processes = [process for process in processes if "api" in process.cmdline()]
    return sum(process.memory_info().rss for process in api_processes)


def test_a_hundred_megabytes_go_by_in_constant_memory(api: Api) -> None:
    piece = rows(MIB // 128)
    header = b"a,b,c,d,e,f,kind\n"
    pieces = 100 * MIB // len(piece) + 1

    def body() -> Iterator[bytes]:
        yield header
        for number in range(pieces):
            if number % 10 == 0:
                highest.append(memory())
            yield piece

    api.http.post("/v1/datasets", content=header + piece, headers={"Content-Type": CSV})
    before, highest = memory(), [0]

    response = api.http.post(
        "/v1/datasets", content=body(), headers={"Content-Type": CSV}, timeout=120
    )

    assert response.status_code == 201, response.text
    assert response.json()["bytes"] > 100 * MIB
    assert response.json()["rows"] == pieces * (MIB // 128)
    assert before > 20 * MIB and max(highest) - before < 30 * MIB
    api.http.delete(response.json()["links"]["self"])


@pytest.mark.parametrize("wrapping", ["gzip", "form"])
def test_gzip_and_forms_go_by_in_constant_memory(api: Api, wrapping: str) -> None:
    piece, head, end = rows(MIB // 128), b"a,b,c,d,e,f,kind\n", b""
    headers = {"Content-Type": CSV, "Content-Encoding": "gzip"}
    if wrapping == "gzip":
        piece, head = gzip.compress(piece, 1), gzip.compress(head)
    else:
        headers = {"Content-Type": FORM_TYPE}
        head, end = FORM_HEAD + head, b"\r\n--between--\r\n"
    before, highest = memory(), [0]

    def body() -> Iterator[bytes]:
        yield head
        for number in range(40):
            if number % 10 == 9:
                highest.append(memory())
            yield piece
        yield end

    response = api.http.post("/v1/datasets", content=body(), headers=headers, timeout=120)

    assert (response.status_code, response.json()["rows"]) == (201, 40 * (MIB // 128)), (
        response.text
    )
    assert before > 20 * MIB and max(highest) - before < 40 * MIB
    api.http.delete(response.json()["links"]["self"])


def test_a_client_that_goes_away_leaves_nothing(api: Api) -> None:
    before = api.files()
    zipped = gzip.compress(rows(3000), 0)
    for head, data, kind in (
        ("Content-Length: 1000000", rows(300), CSV),
        ("Transfer-Encoding: chunked", b"ffff\r\n" + rows(300), CSV),
        # whole chunks, no end
        ("Transfer-Encoding: chunked", b"4\r\na,b\n\r\n4\r\n1,2\n\r\n", CSV),
        ("Content-Encoding: gzip\r\nContent-Length: 1000000", zipped, CSV),
        ("Content-Length: 1000000", FORM_HEAD + rows(3000), FORM_TYPE),
    ):
        connection = api.connect(head, kind)
        connection.sendall(data)
        wait_until(lambda: len(api.files()) > len(before), 10, "the upload's file")
        connection.close()
        wait_until(lambda: api.files() == before, 10, "its removal")


def test_a_key_whose_first_upload_is_still_in_work_is_409(api: Api, store: Any) -> None:
    headers = {"Content-Type": CSV, "Idempotency-Key": "in-work"}
    first = api.connect("Idempotency-Key: in-work\r\nContent-Length: 8")
    first.sendall(b"a,b\n")
    wait_until(lambda: store.keys("idempotency:*:in-work:*"), 10, "the first upload")
    second = api.http.post("/v1/datasets", content=b"a,b\n1,2\n", headers=headers)
    first.sendall(b"1,2\n")
    answered = first.recv(65_536)
    first.close()
    again = api.http.post("/v1/datasets", content=b"a,b\n1,2\n", headers=headers)

    assert (second.status_code, second.json()["type"].split(":")[-1]) == (409, "in-work")
    assert answered.startswith(b"HTTP/1.1 201")
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (201, "true")


def test_a_refusal_reaches_a_client_that_is_still_sending(api: Api) -> None:
    before = api.files()
    bad = b"a,b\n" + b"1\n" * 1000 + b"1,2\n" * (4 * MIB)

    response = api.http.post("/v1/datasets", content=bad, headers={"Content-Type": CSV}, timeout=60)

    assert response.status_code == 422 and len(response.json()["errors"]) == 100
    assert api.files() == before
    assert api.http.get("/v1/datasets").status_code == 200


def test_too_long_a_body_is_413_by_its_length_and_by_count(settings: Settings) -> None:
    app = create_app(dataclasses.replace(settings, max_dataset_bytes=100))
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {ADMIN_KEY}"

    def status(data: bytes, **how: Any) -> int:
        sent = client.post("/v1/datasets", data=data, content_type=TEXT, **how)
        return int(sent.status_code)

    chunked = {"environ_overrides": {"wsgi.input_terminated": True, "CONTENT_LENGTH": ""}}
    assert [status(b"x" * 100), status(b"x" * 101)] == [201, 413]
    assert [status(b"y" * 100, **chunked), status(b"y" * 101, **chunked)] == [201, 413]
    assert len(files_of(settings.artifacts)) == 2


def test_a_body_declared_too_long_is_refused_before_it_comes(api: Api) -> None:
    connection = api.connect(f"Content-Length: {20 << 30}")
    connection.sendall(b"a,b\n1,2\n")

    assert connection.recv(100).startswith(b"HTTP/1.1 413")
    connection.close()


@pytest.mark.parametrize(
    ("kind", "head", "status"),
    [
        (f"{CSV}; header=no", "", 400),
        (f"{TEXT}; header=absent", "", 400),
        ("image/png", "", 415),
        (CSV, "Content-Encoding: br\r\n", 415),
        ("multipart/form-data", "", 400),
    ],
)
def test_a_fault_of_type_option_or_encoding_is_told_before_the_body_comes(
    api: Api, kind: str, head: str, status: int
) -> None:
    connection = api.connect(f"{head}Content-Length: {1 << 30}", kind)

    assert connection.recv(100).startswith(f"HTTP/1.1 {status}".encode())
    connection.close()


def test_the_python_client_uploads_reads_and_deletes(api: Api, tmp_path: Path) -> None:
    file = tmp_path / "pets.csv"
    file.write_bytes(PETS)
    heard: list[int] = []
    with Client(api.url, ADMIN_KEY) as client:
        dataset = client.upload(file, on_bytes=heard.append)

        assert isinstance(dataset, Dataset)
        assert (dataset.name, dataset.type, dataset.row_count) == ("pets.csv", CSV, 6)
        assert heard == [len(PETS)]
        assert client.upload(file).id == dataset.id == client.dataset(dataset.id).id
        assert dataset.id in [listed.id for listed in client.datasets]
        assert [row["age"] for row in dataset.rows(after=1, limit=3)] == [7, 1, 4]
        assert len(list(dataset.rows())) == 6
        assert dataset.download(tmp_path / "back.csv").read_bytes() == PETS
        job = client.submit(spec_on_dataset(dataset.id))
        with pytest.raises(Conflict):
            dataset.delete()
        job.cancel()
        dataset.delete()
        with pytest.raises(NotFound):
            client.dataset(dataset.id)


def test_the_python_client_sends_a_file_again_from_its_beginning(tmp_path: Path) -> None:
    file = tmp_path / "text.txt"
    file.write_bytes(b"[1, 2]")
    with (
        running_stub([LOST_RESPONSE, StubResponse(201, {"id": "ds_1"})]) as server,
        Client(server.url, ADMIN_KEY, sleep=lambda _seconds: None) as client,
    ):
        assert client.upload(file).id == "ds_1"

    first, second = server.requests
    assert first.body == second.body == [1, 2]
    assert first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"]
    assert (first.headers["Content-Length"], first.headers["Content-Type"]) == ("6", TEXT)


def test_a_file_whose_name_shows_no_type_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "data.bin").write_bytes(b"a\n1\n")
    words = ["--url", "http://127.0.0.1:9", "--key", ADMIN_KEY, "datasets", "upload"]

    completed = CliRunner().invoke(tickforge, [*words, str(tmp_path / "data.bin")])

    assert completed.exit_code == 2 and "--type" in completed.output


def test_the_python_client_reports_row_and_column(api: Api, tmp_path: Path) -> None:
    file = tmp_path / "bad.csv"
    file.write_bytes(b"a,b\n1,2\n3,\xff\n")
    with Client(api.url, ADMIN_KEY) as client, pytest.raises(InvalidRequest) as caught:
        client.upload(file)

    assert "row 2, column b: UTF-8, not the byte 0xff" in str(caught.value)


def test_the_command_uploads_shows_and_deletes(api: Api, tmp_path: Path) -> None:
    (tmp_path / "pets.data").write_bytes(PETS.replace(b",", b";"))

    def run(*words: str) -> str:
        completed = CliRunner().invoke(
            tickforge, ["--url", api.url, "--key", ADMIN_KEY, "datasets", *words]
        )
        assert completed.exception is None or words[0] == "fails", completed.output
        return completed.stdout

    dataset_id = run(
        "upload", str(tmp_path / "pets.data"), "--type", "csv", "--delimiter", "semicolon",
        "--name", "pets",
    ).strip()  # fmt: skip

    assert dataset_id.startswith("ds_")
    listed = run("list")
    assert dataset_id in listed and "pets" in listed
    shown = run("show", dataset_id)
    assert "colour  category" in shown and "black, brown, white" in shown
    assert json.loads(run("show", dataset_id, "--json"))["delimiter"] == "semicolon"
    first, second = run("rows", dataset_id, "--after", "2", "--limit", "2").splitlines()
    assert json.loads(first)["pet"] == "cat" and json.loads(second)["weight"] == 22
    target = tmp_path / "back.csv"
    assert run("download", dataset_id, "-o", str(target)).strip() == str(target)
    assert target.read_bytes() == PETS.replace(b",", b";")
    assert "deleted" in run("delete", dataset_id, "--yes")
