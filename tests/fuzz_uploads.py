"""Damaged files, as uploads: each is answered, and what is accepted is read again.

An upload must be answered, by less than 500, in bounded time, and leave nothing. The rows of an
accepted one are shown, and a trainer's loader reads it. `ReaderTarget` does that with the readers
alone, which is quick; `ApiTarget` sends the upload to the API of this process.
"""

import hashlib
import io
import json
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from flask import Flask, request
from werkzeug.test import EnvironBuilder

from api.errors import to_problem
from api.schemas_datasets import UploadQuery
from api.upload_source import UploadSource, open_source
from jobs.datasets.dataset import DatasetRecord, parse_dataset
from jobs.datasets.profiling import make_profiler
from jobs.datasets.repository import DatasetRepository
from jobs.datasets.rows import iter_rows
from jobs.ids import make_dataset_id
from jobs.spec.base import InvalidSpec
from jobs.spec.dataset_checks import KnownDataset
from jobs.spec.reading import read_spec
from tests.datasets import TEXT, files_of, spec_on_dataset
from tests.texts import TINY
from tests.training_records import CPU
from ticks.data.load import load_data

MAX_BYTES = 1 << 24
MAX_ROWS = 20  # that are shown
TENANT = "default"


class FuzzedUpload(NamedTuple):
    """A request's body, its type and its further headers."""

    body: bytes
    content_type: str
    headers: dict[str, str]


class ReaderTarget:
    """Reads uploads as the API `app` does, without store and HTTP."""

    def __init__(self, app: Flask, folder: Path) -> None:
        self._app, self._folder = app, folder

    def take(self, upload: FuzzedUpload) -> str:
        """Return the status of an upload and what its data are good for. Raises what is a fault."""
        try:
            record = self._receive(upload)
        except Exception as error:
            problem = to_problem(error)
            if problem is None or problem.status >= 500:
                raise
            return str(problem.status)
        if record.dataset.type != TEXT:
            with (self._folder / record.path).open("rb") as file:
                rows = list(islice(iter_rows(file, record, 0), MAX_ROWS))
            assert rows and json.dumps(rows, allow_nan=False)
        return f"201 {load(record.dataset.id, record.known_dataset, self._folder)}"

    def _receive(self, upload: FuzzedUpload) -> DatasetRecord:
        stream, size = io.BytesIO(upload.body), len(upload.body)
        builder = EnvironBuilder(
            "/v1/datasets", method="POST", input_stream=stream, content_length=size,
            content_type=upload.content_type, headers=upload.headers,
        )  # fmt: skip
        with self._app.request_context(builder.get_environ()):
            return self._read(open_source(request, UploadQuery(), MAX_BYTES))

    def _read(self, source: UploadSource) -> DatasetRecord:
        kind, options = source.format.kind, source.format.options
        profiler, sha256 = make_profiler(kind, options, max_bytes=MAX_BYTES), hashlib.sha256()
        path = self._folder / "file"
        with path.open("wb") as file:
            for piece in source.pieces:
                file.write(piece)
                sha256.update(piece)
                profiler.feed(piece)
        profile = profiler.finish(path).model_copy(update={"options": options})
        fields = {
            "id": make_dataset_id(b"secret", sha256.hexdigest()), "name": "", "type": kind,
            "sha256": sha256.hexdigest(), "bytes": str(path.stat().st_size), "created_ms": "0",
            "delimiter": options.delimiter, "path": path.name,
            "marks": json.dumps(list(profiler.row_offsets)),
            "profile": profile.model_dump_json(exclude_none=True, exclude_defaults=True),
        }  # fmt: skip
        return parse_dataset({name.encode(): value.encode() for name, value in fields.items()})


class ApiTarget:
    """Sends uploads by Flask's client, which is signed in, and deletes what was accepted."""

    def __init__(self, client: Any, datasets: DatasetRepository, artifacts: Path) -> None:
        self._client, self._datasets, self._artifacts = client, datasets, artifacts

    def take(self, upload: FuzzedUpload) -> str:
        """Return the status of an upload and what its data are good for."""
        response = self._client.post(
            "/v1/datasets", data=upload.body, content_type=upload.content_type,
            headers=upload.headers,
        )  # fmt: skip
        assert response.status_code < 500, response.json
        outcome = str(response.status_code)
        if response.status_code == 201:
            outcome = f"201 {self._read_accepted(response.json)}"
        assert files_of(self._artifacts / "blobs") == []
        return outcome

    def _read_accepted(self, dataset: dict[str, Any]) -> str:
        if dataset["type"] != TEXT:
            rows = self._client.get(f"{dataset['links']['rows']}?limit={MAX_ROWS}")
            assert rows.status_code == 200 and rows.json["data"], rows.json
        known = self._datasets.look_up(TENANT, dataset["id"])
        assert known is not None
        outcome = load(dataset["id"], known, self._artifacts)
        assert self._client.delete(dataset["links"]["self"]).status_code == 204
        return outcome


def load(dataset_id: str, known: KnownDataset, artifacts: Path) -> str:
    """Load a dataset's rows as a trainer does, if a spec can be made of them."""
    columns = known.profile.columns or []
    spec: dict[str, Any] = spec_on_dataset(dataset_id, columns[-1].name if columns else None)
    if known.profile.text is not None:
        spec |= {"model": TINY, "data": {"source": "dataset", "id": dataset_id, "window": 4}}
    elif columns:
        spec["data"]["missing"] = "mean"
    try:
        read = read_spec(
            {**spec, "batch_size": 1}, max_parameters=10**8, datasets=lambda _id: known
        )
    except InvalidSpec:
        return "fits no spec"
    assert load_data(read, CPU, artifacts).training is not None
    return "trains"


def count_statuses(outcomes: Iterable[str]) -> set[str]:
    """Return the statuses of some outcomes."""
    return {outcome.split(": ")[1].split()[0] for outcome in outcomes}
