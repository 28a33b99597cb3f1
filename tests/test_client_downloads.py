"""Checkpoint files brought here: resumed where they stopped, and never kept unverified."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.stub_server import (
    KEY,
    ReceivedRequest,
    Rule,
    StubResponse,
    problem_response,
    running_stub,
)
from tickforge_client import (
    Checkpoint,
    Client,
    CorruptDownload,
    DamagedOnServer,
    FileChanged,
    ServerError,
    UnexpectedAnswer,
)

WEIGHTS = bytes(range(256)) * 40
SHA = hashlib.sha256(WEIGHTS).hexdigest()
NAME = "model.safetensors"


def described(name: str = NAME, sha256: str = SHA, size: int = len(WEIGHTS)) -> dict[str, Any]:
    files = [{"name": name, "bytes": size, "sha256": sha256}]
    return {
        "tick": 10, "name": None, "pinned": False, "created_at": "2026-11-24T10:00:00.000Z",
        "bytes": size, "metrics": {}, "sha256": sha256, "files": files, "is_best": True,
        "is_final": True,
    }  # fmt: skip


def ranged(request: ReceivedRequest) -> StubResponse:
    """What a server that knows ranges answers."""
    etag = {"ETag": f'"{SHA}"'}
    span = request.headers["Range"]
    if span is None or request.headers["If-Range"] not in (None, f'"{SHA}"'):
        return StubResponse(200, WEIGHTS, etag)
    start = int(span.removeprefix("bytes=").removesuffix("-"))
    content_range = f"bytes {start}-{len(WEIGHTS) - 1}/{len(WEIGHTS)}"
    return StubResponse(206, WEIGHTS[start:], {**etag, "Content-Range": content_range})


def download(
    rule: Rule | list[StubResponse], folder: Path, about: dict[str, Any] | None = None
) -> list[ReceivedRequest]:
    with (
        running_stub(rule) as server,
        Client(server.url, KEY, sleep=lambda _: None) as client,
    ):
        Checkpoint.read(client.session, "job_a", about or described()).download(folder)
    return server.requests


def broken_off(after: int, times: int) -> Callable[[ReceivedRequest], StubResponse]:
    """Ranges known, but so many answers break off after so many bytes."""
    left = [times]

    def rule(request: ReceivedRequest) -> StubResponse:
        whole = ranged(request)
        left[0] -= 1
        return (
            StubResponse(whole.status, whole.body, whole.headers, cut=after)
            if left[0] >= 0
            else whole
        )

    return rule


def test_a_download_that_breaks_off_goes_on_where_it_stopped(tmp_path: Path) -> None:
    requests = download(broken_off(after=4000, times=2), tmp_path)
    assert (tmp_path / NAME).read_bytes() == WEIGHTS
    assert [request.headers["Range"] for request in requests] == [
        None,
        "bytes=4000-",
        "bytes=8000-",
    ]
    assert requests[0].path == f"/v1/jobs/job_a/checkpoints/10/files/{NAME}"
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_a_partial_file_of_an_earlier_process_is_resumed(tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(WEIGHTS[:5000])
    (request,) = download(ranged, tmp_path)
    assert request.headers["Range"] == "bytes=5000-"
    assert request.headers["If-Range"] == f'"{SHA}"'
    assert (tmp_path / NAME).read_bytes() == WEIGHTS


@pytest.mark.parametrize("left", [b"other bytes", b"x" * len(WEIGHTS), b"x" * 20_000])
def test_a_part_of_other_bytes_is_begun_again(tmp_path: Path, left: bytes) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(left)
    download(ranged, tmp_path)
    assert (tmp_path / NAME).read_bytes() == WEIGHTS


def test_a_server_that_ignores_ranges_sends_the_whole_again(tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(WEIGHTS[:5000])
    download(lambda _: StubResponse(200, WEIGHTS), tmp_path)
    assert (tmp_path / NAME).read_bytes() == WEIGHTS


@pytest.mark.parametrize("sent", [b"y" * len(WEIGHTS), WEIGHTS[:-1], WEIGHTS + b"1"])
def test_wrong_bytes_are_refused_and_not_kept(tmp_path: Path, sent: bytes) -> None:
    with pytest.raises(CorruptDownload, match=NAME):
        download(lambda _: StubResponse(200, sent), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_here_already_is_not_fetched_again(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(WEIGHTS)
    assert download(ranged, tmp_path) == []


def test_an_older_file_of_that_name_is_replaced(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"of another job")
    download(ranged, tmp_path)
    assert (tmp_path / NAME).read_bytes() == WEIGHTS


def test_an_empty_file_is_a_file(tmp_path: Path) -> None:
    empty = described(sha256=hashlib.sha256(b"").hexdigest(), size=0)
    download(lambda _: StubResponse(200), tmp_path, empty)
    assert (tmp_path / NAME).read_bytes() == b""


@pytest.mark.parametrize("name", ["../model", "/etc/x", ".bashrc", "a/b", "", "..", "a\nb"])
def test_a_file_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnexpectedAnswer):
        download(ranged, tmp_path / "here", described(name=name))
    assert list((tmp_path / "here").iterdir()) == []


def test_every_request_is_for_this_very_file(tmp_path: Path) -> None:
    requests = download(broken_off(after=4000, times=1), tmp_path)
    assert [request.headers["If-Match"] for request in requests] == [f'"{SHA}"'] * 2


@pytest.mark.parametrize(
    ("status", "kind", "error"),
    [(412, "precondition-failed", FileChanged), (500, "damaged", DamagedOnServer)],
)
def test_a_file_that_is_another_one_or_damaged_is_an_error_at_once_and_leaves_no_part(
    tmp_path: Path, status: int, kind: str, error: type[Exception]
) -> None:
    """Also where that shows after a part of it has come."""
    refusal = problem_response(status, type=f"urn:tickforge:problem:{kind}", title="no")
    cut = StubResponse(200, WEIGHTS, {"ETag": f'"{SHA}"'}, cut=4000)
    for responses in ([refusal], [cut, refusal]):
        with pytest.raises(error):
            download(responses, tmp_path)
        assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_gone_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="no such file"):
        download(lambda _: problem_response(404, title="no such file"), tmp_path)


def test_model_onnx_is_waited_for_and_then_downloaded(tmp_path: Path) -> None:
    pauses: list[float] = []
    in_work = StubResponse(202, {"status": "queued"}, {"Retry-After": "2"})
    refused = problem_response(
        503, {"Retry-After": "10"}, type="urn:tickforge:problem:no-worker", detail="no worker can"
    )
    first = StubResponse(
        206, WEIGHTS[:1], {"ETag": f'"{SHA}"', "Content-Range": f"bytes 0-0/{len(WEIGHTS)}"}
    )
    whole = StubResponse(200, WEIGHTS, {"ETag": f'"{SHA}"'})
    for responses, lines in (([in_work, in_work, first, whole], 4), ([in_work, refused], 2)):
        pauses.clear()
        with (
            running_stub(responses) as server,
            Client(server.url, KEY, sleep=pauses.append) as client,
        ):
            checkpoint = Checkpoint.read(client.session, "job_a", described())
            if refused in responses:
                with pytest.raises(ServerError, match="no worker can"):
                    checkpoint.download_onnx(tmp_path / "other.onnx")
            else:
                target = checkpoint.download_onnx(tmp_path / "new" / "net.onnx")
                assert target.read_bytes() == WEIGHTS
            path = "/v1/jobs/job_a/checkpoints/10/files/model.onnx"
            assert server.request_lines() == [f"GET {path}"] * lines
            assert pauses == [2.0] * responses.count(in_work)
