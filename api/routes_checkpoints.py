"""Checkpoints over HTTP: the list, one of them, its files; saved now, named, pinned, deleted."""

import json
import re
from typing import BinaryIO

from flask import Response, request

from api.body import digest, read_as
from api.downloads import send
from api.etag import tagged
from api.job_answers import told
from api.pages import page_from
from api.query import Oldest
from api.registrar import LONGEST_KEY, Answer, Call, Endpoints, header_of, json_answer
from api.schemas import CheckpointPage
from api.schemas_care import CheckpointAsk, CheckpointPatch
from jobs import checkpoints
from jobs.errors import NoSuchCheckpoint
from jobs.job import Checkpoint, CheckpointFile, Job
from jobs.kept import RequestedCheckpoint

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
    kept = call.service.index.list_checkpoints(call.tenant, job_id)
    text = page_from(
        [(each.tick, each) for each in kept],
        after=query.after,
        limit=query.limit,
        descending=query.order == "desc",
    )
    return tagged(request, text)


@endpoint(
    f"POST {ALL}",
    body=CheckpointAsk,
    may_be_empty=True,
    scope="submit",
    headers=("Idempotency-Key",),
    answers={202: Answer("under way", Job, headers=("ETag", "Idempotent-Replayed"))},
    refusals=(404, 409, 410),
)
def save_checkpoint(call: Call, job_id: str, body: object) -> Response:
    """Have a running job saved at the end of its chunk; displaces no request of another kind."""
    asked = read_as(CheckpointAsk, body)
    key, care = header_of("Idempotency-Key", LONGEST_KEY), call.service.care
    answer = care.request(
        call.tenant,
        job_id,
        RequestedCheckpoint(asked.name, asked.pinned),
        idempotency_key=key,
        body_digest=digest({"checkpoint of": job_id, "body": body}),
    )
    if answer == "asked before":
        response = _asked_before(call, job_id, key or "")
    else:
        response = told(call.service.index.get_job(call.tenant, job_id), 202)
        if key:
            care.store_response(
                call.tenant, job_id, key, _without_spec(response.get_data(as_text=True))
            )
    call.service.archive.save(call.tenant, job_id)
    return response


@endpoint(
    f"PATCH {ALL}/<which>",
    body=CheckpointPatch,
    scope="submit",
    answers={200: Answer("the checkpoint", Checkpoint, headers=("ETag",))},
    refusals=(404,),
)
def patch_checkpoint(call: Call, job_id: str, which: str, body: object) -> Response:
    """Name a checkpoint, or pin it: a pinned one stays and does not count in `keep`."""
    said = read_as(CheckpointPatch, body).model_dump(exclude_unset=True)
    changed = call.service.care.update(call.tenant, job_id, _known(which), said)
    return tagged(request, changed.model_dump_json())


@endpoint(
    f"DELETE {ALL}/<which>",
    scope="submit",
    offers=(),
    answers={204: Answer("deleted")},
    refusals=(404, 409),
)
def delete_checkpoint(call: Call, job_id: str, which: str) -> Response:
    """Remove a checkpoint and its files; not the last one that a live job could go on from."""
    call.service.care.delete(call.tenant, job_id, _known(which))
    return Response(status=204)


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
    return call.service.index.get_checkpoint(call.tenant, job_id, _known(which))


def _known(which: str) -> str:
    if not WHICH.fullmatch(which):
        raise NoSuchCheckpoint(which)
    return which


def _asked_before(call: Call, job_id: str, key: str) -> Response:
    """Give the same answer again; as the job is now, where the first try broke off before it."""
    headers, job = {"Idempotent-Replayed": "true"}, call.service.index.get_job(call.tenant, job_id)
    first = call.service.care.get_stored_response(call.tenant, job_id, key)
    if first is None:
        return told(job, 202, headers)
    spec = job.spec.model_dump(mode="json")
    return json_answer(json.dumps({**json.loads(first), "spec": spec}), 202, headers)


def _without_spec(answer: str) -> str:
    """A spec never changes, and may be large: it is not kept with each answer."""
    return json.dumps({name: value for name, value in json.loads(answer).items() if name != "spec"})


def _open(
    call: Call, job_id: str, checkpoint: Checkpoint, name: str
) -> tuple[BinaryIO, CheckpointFile]:
    service = call.service
    try:
        return checkpoints.open_file(service.files, call.tenant, job_id, checkpoint, name)
    except checkpoints.DamagedCheckpoint:
        # it may have been dropped for a newer one since its record was read: then this is a 404
        service.index.get_checkpoint(call.tenant, job_id, str(checkpoint.tick))
        raise
