"""Checkpoints over HTTP: the list, one of them, and its files."""

import re
from typing import BinaryIO

from flask import Response, request

from api.downloads import send
from api.etag import tagged
from api.pages import page_from
from api.query import Oldest
from api.registrar import Answer, Call, Endpoints
from api.schemas import CheckpointPage
from jobs import checkpoints
from jobs.errors import NoSuchCheckpoint
from jobs.job import Checkpoint, CheckpointFile

endpoint = Endpoints("checkpoints")
ALL = "/v1/jobs/<job_id>/checkpoints"
BINARY = "application/octet-stream"
WHICH = re.compile(r"0|[1-9][0-9]{0,14}|initial|latest|best|final")


@endpoint(
    f"GET {ALL}",
    query=Oldest,
    headers=("If-None-Match",),
    answers={
        200: Answer("the job's checkpoints", CheckpointPage, headers=("ETag",)),
        304: Answer("not modified"),
    },
    refusals=(404,),
)
def list_checkpoints(call: Call, job_id: str, query: Oldest) -> Response:
    """List checkpoints, oldest first."""
    kept = call.service.index.checkpoints(call.tenant, job_id)
    text = page_from(
        [(each.tick, each) for each in kept],
        after=query.after,
        limit=query.limit,
        descending=query.order == "desc",
    )
    return tagged(request, text)


@endpoint(
    f"GET {ALL}/<which>",
    headers=("If-None-Match",),
    answers={
        200: Answer("the checkpoint", Checkpoint, headers=("ETag",)),
        304: Answer("not modified"),
    },
    refusals=(404,),
)
def get_checkpoint(call: Call, job_id: str, which: str) -> Response:
    """Look at one checkpoint: of a tick, or the initial, latest, best or final one."""
    return tagged(request, _checkpoint(call, job_id, which).model_dump_json())


@endpoint(
    f"GET {ALL}/<which>/files/<name>",
    offers=(BINARY,),
    headers=("Range", "If-Range", "If-None-Match"),
    answers={
        200: Answer("the file", media=(BINARY,), headers=("ETag", "Accept-Ranges")),
        206: Answer("the range", media=(BINARY,), headers=("ETag", "Content-Range")),
        304: Answer("not modified"),
    },
    refusals=(404, 416),
)
def get_checkpoint_file(call: Call, job_id: str, which: str, name: str) -> Response:
    """Download one of a checkpoint's files, whole or a range of it. Its ETag is its sha256."""
    checkpoint = _checkpoint(call, job_id, which)
    file, entry = _open(call, job_id, checkpoint, name)
    return send(request, file, size=entry.bytes, sha256=entry.sha256, media_type=BINARY)


def _checkpoint(call: Call, job_id: str, which: str) -> Checkpoint:
    if not WHICH.fullmatch(which):
        raise NoSuchCheckpoint(which)
    return call.service.index.checkpoint(call.tenant, job_id, which)


def _open(
    call: Call, job_id: str, checkpoint: Checkpoint, name: str
) -> tuple[BinaryIO, CheckpointFile]:
    service = call.service
    try:
        return checkpoints.open_file(service.files, call.tenant, job_id, checkpoint, name)
    except checkpoints.DamagedCheckpoint:
        # it may have been dropped for a newer one since its record was read: then this is a 404
        service.index.checkpoint(call.tenant, job_id, str(checkpoint.tick))
        raise
