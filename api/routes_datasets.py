"""Datasets over HTTP: upload, list, look, content, rows, delete."""

import json
from collections.abc import Callable
from typing import Any, cast

from flask import Response, request

from api.downloads import send
from api.errors import Problem, bad_parameter
from api.etag import tagged
from api.pages import page_of
from api.receiving import Body
from api.registrar import LONGEST_KEY, Answer, Call, Endpoints, header_of, json_answer
from api.schemas_datasets import DatasetPage, DatasetQuery, RowPage, RowsQuery, UploadQuery
from jobs.datasets.dataset import Dataset
from jobs.datasets.rows import read_rows
from jobs.datasets.upload import ReceivedUpload
from jobs.spec.profiles import MediaType

endpoint = Endpoints("datasets")
ALL = "/v1/datasets"
ONE = f"{ALL}/<dataset_id>"
FORMS = ("text/csv", "application/x-ndjson", "text/plain", "application/x-npz")
BINARY = "application/octet-stream"


@endpoint(
    f"POST {ALL}",
    query=UploadQuery,
    upload=FORMS,
    scope="submit",
    headers=("Idempotency-Key",),
    answers={
        200: Answer("the same bytes and type as before", Dataset, headers=("Location",)),
        201: Answer("stored", Dataset, headers=("Location", "Idempotent-Replayed")),
    },
    refusals=(409, 410, 507),
)
def upload_dataset(call: Call, query: UploadQuery, media_type: str) -> Response:
    """Upload a dataset: CSV with a header, JSON lines, plain text in UTF-8, or NPZ.

    Streamed to disk, also without a Content-Length. NPZ holds the arrays `inputs` [rows, features]
    and `targets` [rows] or [rows, outputs]. A refusal tells row and column, and leaves nothing.
    """
    key = header_of("Idempotency-Key", LONGEST_KEY)
    if query.delimiter != "comma" and media_type != "text/csv":
        raise bad_parameter("delimiter", "left out: only a CSV has one", query.delimiter)
    datasets = call.service.datasets
    body = Body(request, most=call.service.settings.max_dataset_bytes)
    call.service.check_room()
    with (
        datasets.hold_idempotency_key(call.tenant, key) as still,
        datasets.start_upload(cast(MediaType, media_type), query.delimiter) as upload,
    ):
        received = _receive(upload, body, still)
        added = datasets.add(call.tenant, received, name=query.name, idempotency_key=key)
    headers = {"Location": f"{ALL}/{added.dataset.id}"}
    if added.replayed:
        headers["Idempotent-Replayed"] = "true"
    return json_answer(added.dataset.model_dump_json(), added.status, headers)


def _receive(upload: Any, body: Body, still: Callable[[], None]) -> ReceivedUpload:
    try:
        for piece in body:
            upload.write(piece)
            still()
        return cast(ReceivedUpload, upload.finish())
    except Exception:
        body.drain()
        raise


@endpoint(f"GET {ALL}", query=DatasetQuery, answers={200: Answer("a page", DatasetPage)})
def list_datasets(call: Call, query: DatasetQuery) -> Response:
    """List datasets, newest first."""
    page = call.service.datasets.read_page(
        call.tenant, limit=query.limit, after=query.after, descending=query.order == "desc"
    )
    return json_answer(page_of([each.model_dump_json() for each in page.data], page.next_after))


@endpoint(
    f"GET {ONE}",
    headers=("If-None-Match",),
    answers={
        200: Answer("the dataset", Dataset, headers=("ETag",)),
        304: Answer("not modified"),
    },
    refusals=(404,),
)
def get_dataset(call: Call, dataset_id: str) -> Response:
    """Look at a dataset: what is known of its rows and columns."""
    stored = call.service.datasets.find(call.tenant, dataset_id)
    return tagged(request, stored.dataset.model_dump_json())


@endpoint(
    f"GET {ONE}/content",
    offers=(*FORMS, BINARY),
    headers=("Range", "If-Range", "If-None-Match"),
    answers={
        200: Answer("its bytes", media=FORMS, headers=("ETag", "Accept-Ranges")),
        206: Answer("the range", media=FORMS, headers=("ETag", "Content-Range")),
        304: Answer("not modified"),
    },
    refusals=(404, 416),
)
def get_dataset_content(call: Call, dataset_id: str) -> Response:
    """Download a dataset as it was uploaded, whole or a range of it. Its ETag is its sha256."""
    stored = call.service.datasets.find(call.tenant, dataset_id)
    about = stored.dataset
    file = call.service.datasets.open(call.tenant, stored)
    return send(request, file, size=about.bytes, sha256=about.sha256, media_type=about.type)


@endpoint(
    f"GET {ONE}/rows",
    query=RowsQuery,
    answers={200: Answer("some rows", RowPage)},
    refusals=(404,),
)
def list_dataset_rows(call: Call, dataset_id: str, query: RowsQuery) -> Response:
    """Look at some rows of a table or an NPZ file, as a job would read them."""
    stored = call.service.datasets.find(call.tenant, dataset_id)
    total = stored.dataset.rows
    if total is None:
        raise Problem("not-found", "a text has no rows; read its content")
    with call.service.datasets.open(call.tenant, stored) as file:
        found = read_rows(file, stored, query.after, query.limit)
    last = query.after + len(found)
    more = str(last) if found and last < total else None
    return json_answer(page_of([json.dumps(each, allow_nan=False) for each in found], more))


@endpoint(
    f"DELETE {ONE}",
    scope="submit",
    offers=(),
    answers={204: Answer("deleted")},
    refusals=(404, 409),
)
def delete_dataset(call: Call, dataset_id: str) -> Response:
    """Remove a dataset that no live job uses. Its bytes go with the last dataset that is them."""
    call.service.datasets.delete(call.tenant, dataset_id)
    return Response(status=204)
