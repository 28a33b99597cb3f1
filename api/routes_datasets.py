"""Endpoints of datasets: upload, list, read, content, rows, delete."""

import json
from collections.abc import Callable, Iterable
from typing import Any, BinaryIO, get_args

from flask import Response, request

from api.checked_files import DamagedFile
from api.endpoints import RequestContext, ResponseSpec, Router, json_response, read_idempotency_key
from api.errors import Problem
from api.etag import json_with_etag
from api.file_responses import ANSWER_HEADERS, DOWNLOAD_HEADERS, FileFacts, file_response
from api.forwarding import add_prefix
from api.pagination import page_json
from api.schemas_datasets import (
    AppendQuery,
    DatasetPage,
    DatasetQuery,
    RowPage,
    RowsQuery,
    UploadQuery,
)
from api.upload_source import UPLOAD_MEDIA_TYPES, UploadSource, open_append, open_source
from jobs.datasets.append import Append
from jobs.datasets.dataset import Dataset, DatasetRecord
from jobs.datasets.formats.damage import report_damage
from jobs.datasets.repository import AddResult
from jobs.datasets.rows import iter_rows
from jobs.datasets.upload import ReceivedUpload, Upload
from jobs.spec.profiles import MediaType
from jobs.store.page_budget import PageBudget

router = Router("datasets")
DATASETS_PATH = "/v1/datasets"
DATASET_PATH = f"{DATASETS_PATH}/<dataset_id>"
DATASET_MEDIA_TYPES: tuple[str, ...] = get_args(MediaType)
BINARY = "application/octet-stream"

ADDED = {
    200: ResponseSpec("there is such a dataset already", Dataset, headers=("Location",)),
    201: ResponseSpec("stored", Dataset, headers=("Location", "Idempotent-Replayed")),
}


@router.endpoint(
    f"POST {DATASETS_PATH}",
    query=UploadQuery,
    upload_media_types=UPLOAD_MEDIA_TYPES,
    scope="submit",
    headers=("Idempotency-Key", "Content-Encoding"),
    responses=ADDED,
    error_statuses=(409, 410, 507),
)
def upload_dataset(context: RequestContext, query: UploadQuery) -> Response:
    """Upload a dataset: CSV, TSV, JSON lines, plain text in UTF-8, NPZ, Parquet.

    The body is the file, plain or gzip'd (`Content-Encoding: gzip`), or a form with one file
    (multipart/form-data; its type is that of the part, else that of the file name's suffix). It is
    streamed to disk and needs no Content-Length; digest, size and limit are of the decoded bytes.
    An NPZ file holds the arrays `inputs` [rows, features] and `targets` [rows] or [rows, outputs].
    Errors name row and column; a rejected upload leaves nothing behind.
    """
    idempotency_key = read_idempotency_key()
    datasets = context.deps.datasets
    source = open_source(request, query, context.deps.settings.max_dataset_bytes)
    context.deps.artifacts.check_free_space()
    quota = datasets.check_quota(context.tenant, idempotency_key, source.known_bytes)
    with (
        datasets.hold_idempotency_key(context.tenant, idempotency_key) as renew_hold,
        datasets.start_upload(source.format.kind, source.format.options, quota=quota) as upload,
    ):
        received = _receive(upload, source, renew_hold)
        result = datasets.add(
            context.tenant, received, name=source.name, idempotency_key=idempotency_key
        )
    return _added(result)


@router.endpoint(
    f"POST {DATASET_PATH}/append",
    query=AppendQuery,
    upload_media_types=UPLOAD_MEDIA_TYPES,
    scope="submit",
    headers=("Idempotency-Key", "Content-Encoding"),
    responses=ADDED,
    error_statuses=(404, 409, 410, 507),
)
def append_to_dataset(context: RequestContext, dataset_id: str, query: AppendQuery) -> Response:
    """Make a new dataset of this one and further rows of the same form: CSV, JSON lines, text.

    The body is sent as an upload is, with the media type of the dataset; its options are those of
    the dataset's upload, so a CSV has the same header. The whole is the file that the bytes of both
    are, one after the other: it has that file's sha256 and id. It shares the bytes of its parent,
    which stays as it is and may be deleted. One row that does not fit its columns refuses all.
    """
    idempotency_key = read_idempotency_key()
    datasets = context.deps.datasets
    parent = datasets.find(context.tenant, dataset_id)
    options = parent.known_dataset.file.parse_options
    source = open_append(
        request, parent.dataset.type, options, query.name, context.deps.settings.max_dataset_bytes
    )
    context.deps.artifacts.check_free_space()
    quota = datasets.check_quota(context.tenant, idempotency_key, source.known_bytes)
    with (
        datasets.hold_idempotency_key(context.tenant, idempotency_key) as renew_hold,
        datasets.start_append(context.tenant, parent, quota=quota, renew_hold=renew_hold) as append,
    ):
        received = _receive(append, source, renew_hold)
        name = query.name or parent.dataset.name
        result = datasets.add(context.tenant, received, name=name, idempotency_key=idempotency_key)
    return _added(result)


def _added(result: AddResult) -> Response:
    headers = {"Location": f"{DATASETS_PATH}/{result.dataset.id}"}
    if result.replayed:
        headers["Idempotent-Replayed"] = "true"
    return json_response(dataset_json(result.dataset), result.status, headers)


def _receive(
    upload: Upload | Append, source: UploadSource, renew_hold: Callable[[], None]
) -> ReceivedUpload:
    for piece in source.pieces:
        upload.write(piece)
        renew_hold()
    return upload.finish()


@router.endpoint(
    f"GET {DATASETS_PATH}", query=DatasetQuery, responses={200: ResponseSpec("a page", DatasetPage)}
)
def list_datasets(context: RequestContext, query: DatasetQuery) -> Response:
    """List datasets, newest first. A page may have fewer than `limit` where they are large."""
    page = context.deps.datasets.read_page(
        context.tenant,
        limit=query.limit,
        encode=dataset_json,
        after=query.after,
        descending=query.order == "desc",
    )
    return json_response(page_json(page.data, page.next_after))


@router.endpoint(
    f"GET {DATASET_PATH}",
    headers=("If-None-Match",),
    responses={200: ResponseSpec("the dataset", Dataset, headers=("ETag",))},
    error_statuses=(404,),
)
def get_dataset(context: RequestContext, dataset_id: str) -> Response:
    """Read a dataset's record: its size, rows and columns."""
    record = context.deps.datasets.find(context.tenant, dataset_id)
    return json_with_etag(dataset_json(record.dataset))


@router.endpoint(
    f"GET {DATASET_PATH}/content",
    produces=(*DATASET_MEDIA_TYPES, BINARY),
    headers=DOWNLOAD_HEADERS,
    responses={
        200: ResponseSpec("the bytes", media_types=DATASET_MEDIA_TYPES, headers=ANSWER_HEADERS),
        206: ResponseSpec(
            "the range", media_types=DATASET_MEDIA_TYPES, headers=(*ANSWER_HEADERS, "Content-Range")
        ),
    },
    error_statuses=(404, 412, 416),
)
def get_dataset_content(context: RequestContext, dataset_id: str) -> Response:
    """Download a dataset as it was uploaded, whole or a byte range. Its ETag is its sha256."""
    record = context.deps.datasets.find(context.tenant, dataset_id)
    dataset = record.dataset
    file = _open(context, record)
    facts = FileFacts(dataset.bytes, dataset.sha256, dataset.type, dataset.created_at)
    return file_response(file, facts, context.deps.checked_files)


@router.endpoint(
    f"GET {DATASET_PATH}/rows",
    query=RowsQuery,
    responses={200: ResponseSpec("some rows", RowPage)},
    error_statuses=(404,),
)
def list_dataset_rows(context: RequestContext, dataset_id: str, query: RowsQuery) -> Response:
    """Read some rows of a table or an NPZ file, as a job would read them.

    A page may have fewer than `limit` where they are large.
    """
    record = context.deps.datasets.find(context.tenant, dataset_id)
    total = record.dataset.rows
    if total is None:
        raise Problem("not-found", "a text has no rows; read its content")
    with _open(context, record) as file, report_damage(file, record.dataset.sha256):
        context.deps.checked_files.check(file, record.dataset.sha256)
        texts = _take_rows(iter_rows(file, record, query.after), query.limit)
    last = query.after + len(texts)
    next_after = str(last) if texts and last < total else None
    return json_response(page_json(texts, next_after))


def _take_rows(rows: Iterable[dict[str, Any]], limit: int) -> list[str]:
    """Return the first rows as JSON: at most `limit`, fewer where they are large."""
    texts, budget = list[str](), PageBudget(limit)
    for row in rows:
        texts.append(json.dumps(row, allow_nan=False))
        budget.spend(texts[-1])
        if budget.is_spent:
            break
    return texts


@router.delete_endpoint(DATASET_PATH)
def delete_dataset(context: RequestContext, dataset_id: str) -> Response:
    """Delete a dataset that no live job uses, and its bytes if no other dataset shares them."""
    context.deps.datasets.delete(context.tenant, dataset_id)
    return Response(status=204)


def _open(context: RequestContext, record: DatasetRecord) -> BinaryIO:
    """Open a dataset's file. Raises NoSuchDataset where it was deleted, DamagedFile where lost."""
    try:
        return context.deps.datasets.open(context.tenant, record)
    except FileNotFoundError:
        raise DamagedFile("the dataset's file is missing") from None


def dataset_json(dataset: Dataset) -> str:
    """Return the JSON that clients see."""
    return dataset.model_copy(update={"links": add_prefix(dataset.links)}).model_dump_json()
