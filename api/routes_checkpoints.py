"""Endpoints of checkpoints: list, save now, read, name, pin, delete, download."""

import re
from functools import partial

from flask import Response

from api.checked_files import DamagedFile
from api.endpoints import (
    RequestContext,
    ResponseSpec,
    Router,
    json_response,
    read_idempotency,
)
from api.etag import json_with_etag
from api.file_responses import ANSWER_HEADERS, DOWNLOAD_HEADERS, FileFacts, file_response
from api.job_responses import submission_response
from api.json_body import parse_model
from api.pagination import paginate
from api.query import PageQuery
from api.schemas import CheckpointPage
from api.schemas_checkpoints import CheckpointCreate, CheckpointPatch
from jobs.answers.exports import ExportInWork
from jobs.errors import NoSuchCheckpoint
from jobs.files import checkpoint_folders, exported_files
from jobs.job import Checkpoint, Job
from jobs.queries.moving_checkpoints import use_checkpoint

router = Router("checkpoints")
CHECKPOINTS_PATH = "/v1/jobs/<job_id>/checkpoints"
BINARY = "application/octet-stream"
FILE_HEADERS = (*ANSWER_HEADERS, "Content-Location")
EXPORT_RETRY_AFTER = "2"  # seconds that a small net takes
CHECKPOINT_PATTERN = re.compile(r"0|[1-9][0-9]{0,14}|initial|latest|best|final")


@router.endpoint(
    f"GET {CHECKPOINTS_PATH}",
    query=PageQuery,
    headers=("If-None-Match",),
    responses={200: ResponseSpec("the job's checkpoints", CheckpointPage, headers=("ETag",))},
    error_statuses=(404,),
)
def list_checkpoints(context: RequestContext, job_id: str, query: PageQuery) -> Response:
    """List checkpoints, oldest first."""
    checkpoints = context.deps.job_queries.list_checkpoints(context.tenant, job_id)
    items = [(checkpoint.tick, checkpoint) for checkpoint in checkpoints]
    return json_with_etag(paginate(items, query))


@router.endpoint(
    f"POST {CHECKPOINTS_PATH}",
    body=CheckpointCreate,
    is_body_optional=True,
    scope="submit",
    headers=("Idempotency-Key",),
    responses={202: ResponseSpec("requested", Job, headers=("ETag", "Idempotent-Replayed"))},
    error_statuses=(404, 409, 410, 507),
)
def save_checkpoint(context: RequestContext, job_id: str, body: object) -> Response:
    """Ask a running job to save a checkpoint at the end of its chunk; other requests stay."""
    payload = parse_model(CheckpointCreate, body)
    idempotency = read_idempotency({"checkpoint of": job_id, "body": body})
    submission = context.deps.jobs.request_checkpoint(
        context.tenant, job_id, payload.name, payload.pinned, idempotency
    )
    return submission_response(submission, {})


@router.endpoint(
    f"PATCH {CHECKPOINTS_PATH}/<which>",
    body=CheckpointPatch,
    scope="submit",
    responses={200: ResponseSpec("the checkpoint", Checkpoint, headers=("ETag",))},
    error_statuses=(404, 507),
)
def patch_checkpoint(context: RequestContext, job_id: str, which: str, body: object) -> Response:
    """Name or pin a checkpoint. A pinned one is never removed and does not count in `keep`."""
    changes = parse_model(CheckpointPatch, body).model_dump(exclude_unset=True)
    jobs, selector = context.deps.jobs, parse_which(which)
    checkpoint = jobs.patch_checkpoint(context.tenant, job_id, selector, changes)
    return json_with_etag(checkpoint.model_dump_json())


@router.delete_endpoint(f"{CHECKPOINTS_PATH}/<which>")
def delete_checkpoint(context: RequestContext, job_id: str, which: str) -> Response:
    """Delete a checkpoint and its files, but not the last one that a live job could resume from."""
    context.deps.jobs.delete_checkpoint(context.tenant, job_id, parse_which(which))
    return Response(status=204)


@router.endpoint(
    f"GET {CHECKPOINTS_PATH}/<which>",
    headers=("If-None-Match",),
    responses={200: ResponseSpec("the checkpoint", Checkpoint, headers=("ETag",))},
    error_statuses=(404,),
)
def get_checkpoint(context: RequestContext, job_id: str, which: str) -> Response:
    """Read one checkpoint: of a tick, or the initial, latest, best or final one."""
    return json_with_etag(_get_checkpoint(context, job_id, which).model_dump_json())


@router.endpoint(
    f"GET {CHECKPOINTS_PATH}/<which>/files/<name>",
    produces=(BINARY,),
    headers=DOWNLOAD_HEADERS,
    responses={
        200: ResponseSpec("the file", media_types=(BINARY,), headers=FILE_HEADERS),
        202: ResponseSpec("model.onnx is being made", ExportInWork, headers=("Retry-After",)),
        206: ResponseSpec(
            "the range", media_types=(BINARY,), headers=(*FILE_HEADERS, "Content-Range")
        ),
    },
    error_statuses=(404, 412, 416, 422, 429, 503, 507),
    is_signable=True,
)
def get_checkpoint_file(context: RequestContext, job_id: str, which: str, name: str) -> Response:
    """Download a file of a checkpoint, whole or a byte range. Its ETag is its sha256.

    model.onnx, which no checkpoint lists, is made when it is first asked for. Content-Location has
    the tick.
    """
    find = partial(_get_checkpoint, context, job_id, which)
    if name == exported_files.ONNX_FILE:
        return use_checkpoint(find, partial(_find_export, context, job_id, which))
    return use_checkpoint(find, partial(_saved_file, context, job_id, name))


def _saved_file(
    context: RequestContext, job_id: str, name: str, checkpoint: Checkpoint
) -> Response:
    files = context.deps.artifacts
    file, entry = checkpoint_folders.open_file(files, context.tenant, job_id, checkpoint, name)
    facts = FileFacts(entry.bytes, entry.sha256, BINARY, checkpoint.created_at)
    response = file_response(file, facts, context.deps.checked_files)
    return _with_location(response, job_id, checkpoint, name)


def _find_export(
    context: RequestContext, job_id: str, which: str, checkpoint: Checkpoint
) -> Response:
    """Return model.onnx of a checkpoint or of the one it was asked for by this name before."""
    response = _exported_file(context, job_id, checkpoint)
    if response is None:
        deps, tenant = context.deps, context.tenant
        older = deps.exports.find_asked(tenant, job_id, which, checkpoint)
        if older is not checkpoint:
            checkpoint, response = older, _exported_file(context, job_id, older)
    if response is not None:
        return _with_location(response, job_id, checkpoint, exported_files.ONNX_FILE)
    state = deps.exports.request(deps.job_queries.get_job(tenant, job_id), checkpoint, which)
    return json_response(state.model_dump_json(), 202, {"Retry-After": EXPORT_RETRY_AFTER})


def _exported_file(context: RequestContext, job_id: str, checkpoint: Checkpoint) -> Response | None:
    """Return a checkpoint's model.onnx, if there is one. A damaged one is removed."""
    deps = context.deps
    exported = exported_files.find_exported(deps.artifacts, context.tenant, job_id, checkpoint)
    if exported is None:
        return None
    facts = FileFacts(exported.bytes, exported.sha256, BINARY, exported.modified_at)
    try:
        return file_response(exported.file, facts, deps.checked_files)
    except DamagedFile:
        exported.path.unlink(missing_ok=True)
        return None


def _with_location(response: Response, job_id: str, checkpoint: Checkpoint, name: str) -> Response:
    """Say of which tick a file is: names such as `latest` move."""
    path = f"/v1/jobs/{job_id}/checkpoints/{checkpoint.tick}/files/{name}"
    response.headers["Content-Location"] = path
    return response


def _get_checkpoint(context: RequestContext, job_id: str, which: str) -> Checkpoint:
    return context.deps.job_queries.get_checkpoint(context.tenant, job_id, parse_which(which))


def parse_which(which: str) -> str:
    """Return a checkpoint's selector of a path. Raises NoSuchCheckpoint for one of another form."""
    if not CHECKPOINT_PATTERN.fullmatch(which):
        raise NoSuchCheckpoint(which)
    return which
