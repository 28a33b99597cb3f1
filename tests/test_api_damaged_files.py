"""Each stored file of a job and of a dataset with one bit changed, over HTTP: never served.

Every kind of file is tried in every form that serves it. A small one, a range and a history are
refused before the first byte; a large one is cut before its last piece, and refused from then on.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
import pytest

from api.checked_files import MAX_HASHED_FIRST, READ_SIZE
from jobs.job import SparsePoint
from jobs.ledger.client import JobLedger
from jobs.recording.segments import Segments
from jobs.store.connection import connect
from tests.api_process import running_api
from tests.damage import flipped_bit
from tests.manual_worker import ManualWorker
from tests.support import ADMIN_KEY, settings_for, small_spec
from tickforge_client import Client, DamagedOnServer

TICKS = 2500
LARGE = bytes(range(256)) * (3 * MAX_HASHED_FIRST // 256) + b"the end"
CHECKPOINT_FILES = {
    "state.safetensors": bytes(range(256)) * 8, "config.json": b"{ }", "model.py": b"CONFIG = {}",
}  # fmt: skip
CSV, NDJSON = {"Accept": "text/csv"}, {"Accept": "application/x-ndjson"}
BINARY = {"Accept": "application/octet-stream"}
RANGE = {"Range": "bytes=0-0"}  # far from the bit that is changed
#: forms of every download; a HEAD tells what its GET would
DOWNLOADS = [
    ("GET", "", {}),
    ("HEAD", "", {}),
    ("GET", "", RANGE),
    ("GET", "", {**RANGE, "If-Range": "TAG"}),
]
PAGES = [("GET", query, {}) for query in ("", "&last=2000", "&after=1&limit=5")]
STREAMS = [("GET", query, form) for query in ("", "&after=1&before=9") for form in (CSV, NDJSON)]
FORMS = {
    "f32": [*PAGES, *STREAMS, ("GET", "", BINARY), ("GET", "&points=7", {})],
    "rows": [("GET", "&points=2", {})],
    "sparse": [*PAGES, *STREAMS],
}


class Form(NamedTuple):
    """A request that reads a file."""

    file: str  # its path below the artifacts, as a pattern
    method: str
    path: str
    headers: dict[str, str]


class Home(NamedTuple):
    """A running API, the artifacts behind it, and the paths of what it serves."""

    http: httpx.Client
    artifacts: Path
    job: str
    datasets: dict[str, str]
    etags: dict[str, str]  # by path, of intact files

    def file(self, pattern: str) -> Path:
        (path,) = self.artifacts.glob(pattern)
        return path

    def send(self, form: Form) -> httpx.Response:
        path = form.path.format(job=self.job, **self.datasets)
        headers = dict(form.headers)
        if "If-Range" in headers:
            if path not in self.etags:
                self.etags[path] = self.http.head(path).headers["ETag"]
            headers["If-Range"] = self.etags[path]
        return self.http.request(form.method, path, headers=headers)


@pytest.fixture(scope="module")
def home(empty_store: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    data = tmp_path_factory.mktemp("data")
    settings = settings_for(empty_store, data)
    with running_api(empty_store, data) as http, connect(empty_store) as store:
        job_id = http.post("/v1/jobs", json=small_spec(budget={"ticks": TICKS})).json()["id"]
        worker = ManualWorker(store, settings)
        digest = SparsePoint("state", 0, struct.pack("<Q", 7))
        time = SparsePoint("time", 2000, struct.pack("<d", 0.25))
        worker.record(np.random.default_rng(1).standard_normal(TICKS), [digest, time])
        worker.save(LARGE, more_files=CHECKPOINT_FILES, is_final=True)
        worker.end(stopped_by="budget")
        Segments(JobLedger(store), store, worker.files).finalize("default", job_id)
        small = "x,y\n" + "".join(f"{n},{2 * n}\n" for n in range(100))
        large = "x,y\n" + "".join(f"{n},{2 * n}\n" for n in range(120_000))
        datasets = {
            name: http.post("/v1/datasets", content=text, headers={"Content-Type": "text/csv"})
            for name, text in (("small", small), ("large", large))
        }
        ids = {name: answer.json()["id"] for name, answer in datasets.items()}
        shas = {f"{name}_sha": answer.json()["sha256"] for name, answer in datasets.items()}
        yield Home(http, settings.artifacts, job_id, ids | shas, {})


def checkpoint_forms(name: str) -> list[Form]:
    path = f"/v1/jobs/{{job}}/checkpoints/final/files/{name}"
    file = f"default/*/checkpoints/*/{name}"
    return [Form(file, method, path, headers) for method, _, headers in DOWNLOADS]


def history_forms(column: str, suffix: str) -> list[Form]:
    path = f"/v1/jobs/{{job}}/history?columns={column}"
    forms = FORMS[suffix]
    if column == "time":
        forms = [*forms, ("GET", "&points=3", {})]
    file = f"default/*/history/{column}/000000.{suffix}"
    return [Form(file, method, path + query, headers) for method, query, headers in forms]


def dataset_forms(name: str) -> list[Form]:
    path, file = f"/v1/datasets/{{{name}}}", f"blobs/*/{{{name}_sha}}_*"
    content = [Form(file, method, f"{path}/content", headers) for method, _, headers in DOWNLOADS]
    return [*content, Form(file, "GET", f"{path}/rows?limit=2", {})]


SMALL_CHECKPOINT_FILES = ["state.json", *CHECKPOINT_FILES]
COLUMNS = [("loss", "f32"), ("loss", "rows"), ("state", "sparse"), ("time", "sparse")]
LARGE_DOWNLOADS = [checkpoint_forms("model.safetensors"), dataset_forms("large")]
CHECKED_FIRST = [
    *(form for name in SMALL_CHECKPOINT_FILES for form in checkpoint_forms(name)),
    *(form for column in COLUMNS for form in history_forms(*column)),
    *dataset_forms("small"),
    *(form for forms in LARGE_DOWNLOADS for form in forms[2:]),
]


def expect_damaged(response: httpx.Response) -> None:
    assert response.status_code == 500, response.text
    assert response.headers["Content-Type"] == "application/problem+json"
    if response.request.method != "HEAD":
        assert response.json()["type"] == "urn:tickforge:problem:damaged", response.text


def test_every_file_of_the_job_is_tried(home: Home) -> None:
    folder = home.artifacts / "default" / home.job
    stored = {path.name for path in folder.glob("checkpoints/*/*")} - {"manifest.json"}
    assert stored == {"model.safetensors", *SMALL_CHECKPOINT_FILES}
    history = {f"{path.parent.name}/{path.name}" for path in folder.glob("history/*/*")}
    assert history == {f"{column}/000000.{suffix}" for column, suffix in COLUMNS}


def test_a_file_with_a_flipped_bit_is_refused_in_every_form_before_the_first_byte(
    home: Home,
) -> None:
    for form in CHECKED_FIRST:
        intact = home.send(form)
        assert intact.is_success, (form, intact.text)
        with flipped_bit(home.file(form.file.format(**home.datasets))):
            expect_damaged(home.send(form))
            expect_damaged(home.send(form))
        again = home.send(form)
        assert (again.status_code, again.content) == (intact.status_code, intact.content), form


@pytest.mark.parametrize("forms", LARGE_DOWNLOADS, ids=["checkpoint", "dataset"])
def test_a_large_file_with_a_flipped_bit_is_cut_before_its_last_piece_and_then_refused(
    home: Home, forms: list[Form]
) -> None:
    whole, head = forms[:2]
    intact = home.send(whole)
    size = len(intact.content)
    assert size > MAX_HASHED_FIRST
    for at in (0, size - 1):  # the client cannot tell before the end, wherever the bit is
        with flipped_bit(home.file(whole.file.format(**home.datasets)), at):
            received = read_cut(home, whole)
            assert size - READ_SIZE <= received < size, "the last piece is not sent"
            for form in (whole, head) * 2:  # whichever process answers
                expect_damaged(home.send(form))
        assert home.send(whole).content == intact.content


def read_cut(home: Home, form: Form) -> int:
    """Read a response that must break off; return how many bytes came."""
    received = 0
    path = form.path.format(job=home.job, **home.datasets)
    with home.http.stream("GET", path) as response:
        assert response.status_code == 200
        with pytest.raises(httpx.RemoteProtocolError, match="incomplete|without sending complete"):
            for piece in response.iter_raw():
                received += len(piece)
    return received


@pytest.mark.parametrize(
    "form", [dataset_forms("small")[0], checkpoint_forms("model.py")[0]], ids=["dataset", "file"]
)
def test_a_file_that_is_missing_or_cut_is_refused(home: Home, form: Form) -> None:
    path = home.file(form.file.format(**home.datasets))
    stored = path.read_bytes()
    path.write_bytes(stored[:-1])
    expect_damaged(home.send(form))
    path.unlink()
    expect_damaged(home.send(form))
    path.write_bytes(stored)
    assert home.send(form).content == stored


def test_a_missing_part_of_a_history_is_damaged_in_every_form(home: Home) -> None:
    for column, suffix in COLUMNS:
        forms: list[Any] = history_forms(column, suffix)
        path = home.file(forms[0].file)
        path.rename(path.with_suffix(".away"))
        for form in forms:
            expect_damaged(home.send(form))
        path.with_suffix(".away").rename(path)


def test_row_numbers_that_come_from_a_damaged_dataset_are_refused(home: Home) -> None:
    """The changed file is a table as before, but a row of it belongs to another class."""
    text = "x,label\n" + "".join(f"{n},{'abc'[n % 3]}\n" for n in range(90))
    headers = {"Content-Type": "text/csv"}
    dataset = home.http.post("/v1/datasets", content=text, headers=headers).json()
    data = {"source": "dataset", "id": dataset["id"], "target": "label"}
    validation = {"fraction": 0.2, "split": "stratified"}
    spec = small_spec(data=data, validation=validation)
    job = home.http.post("/v1/jobs", json=spec).json()
    with flipped_bit(home.file(f"blobs/*/{dataset['sha256']}_*"), at=text.index(",a\n4,") + 1):
        expect_damaged(home.http.get(f"/v1/jobs/{job['id']}/rows"))
    assert home.http.get(f"/v1/jobs/{job['id']}/rows").json()["total"] == 72


def test_the_client_tells_a_damaged_file_and_keeps_nothing_of_it(
    home: Home, tmp_path: Path
) -> None:
    """Its first request is cut before the last piece; it goes on with a range, which is refused."""
    name = "model.safetensors"
    with Client(str(home.http.base_url), ADMIN_KEY, sleep=lambda _: None) as client:
        checkpoint = client.job(home.job).checkpoint("final")
        with flipped_bit(home.file(checkpoint_forms(name)[0].file)):
            with pytest.raises(DamagedOnServer):
                checkpoint.download(tmp_path)
            assert not [path for path in tmp_path.iterdir() if path.name.startswith(name)]
        checkpoint.download(tmp_path)
    assert (tmp_path / name).read_bytes() == LARGE
