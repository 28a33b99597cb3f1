"""A verify over HTTP: a job that runs recorded ticks again and compares every bit."""

from collections.abc import Iterator

from flask import Response

from api import submissions
from api.endpoints import (
    MAX_IDEMPOTENCY_KEY_LENGTH,
    RequestContext,
    ResponseSpec,
    Router,
    read_header,
)
from api.errors import validation_problem
from api.json_body import body_digest, parse_model
from api.schemas_checkpoints import VerifyRequest
from jobs.errors import DatasetDeleted, NoSuchDataset
from jobs.job import Job
from jobs.ledger.claims import VerifyRange
from jobs.spec.rules import FieldError

router = Router("jobs")


@router.endpoint(
    "POST /v1/jobs/<job_id>/verify",
    body=VerifyRequest,
    is_body_optional=True,
    scope="submit",
    headers=("Idempotency-Key",),
    responses={
        202: ResponseSpec("queued", Job, headers=("Location", "ETag", "Idempotent-Replayed"))
    },
    error_statuses=(404, 409, 410, 507),
)
def verify_job(context: RequestContext, job_id: str, body: object) -> Response:
    """Run recorded ticks again on a worker with an equal fingerprint, and compare every bit."""
    idempotency_key = read_header("Idempotency-Key", MAX_IDEMPOTENCY_KEY_LENGTH)
    digest = body_digest({"verify of": job_id, "body": body})
    payload = parse_model(VerifyRequest, body)
    existing_job_id = (
        context.deps.job_queries.find_by_idempotency_key(context.tenant, idempotency_key, digest)
        if idempotency_key
        else None
    )
    if existing_job_id is not None:
        return submissions.replay_response(context, existing_job_id)
    parent = context.deps.job_queries.get_job(context.tenant, job_id)
    if parent.kind == "verify" or parent.tick == 0:
        context.deps.ledger.raise_illegal_transition(
            context.tenant, job_id, "verify, for want of ticks of its own,"
        )
    end = parent.tick if payload.to is None else payload.to
    starts = [
        checkpoint.tick
        for checkpoint in context.deps.job_queries.list_checkpoints(context.tenant, job_id)
    ]
    if field_errors := list(_find_field_errors(parent, payload, end, starts)):
        raise validation_problem("invalid-body", field_errors)
    try:
        return submissions.create_job(
            context, parent.spec, idempotency_key, digest, VerifyRange(job_id, payload.start, end)
        )
    except NoSuchDataset as error:
        raise DatasetDeleted(
            f"dataset {error} has been deleted: nothing can be run again"
        ) from None


def _find_field_errors(
    parent: Job, payload: VerifyRequest, end: int, starts: list[int]
) -> Iterator[FieldError]:
    """What does not fit between the body and the job."""
    if end > parent.tick:
        yield FieldError("/to", f"at most the last accepted tick: {parent.tick}", end)
    if payload.start >= end:
        yield FieldError("/from", f"less than `to`: {end}", payload.start)
    if payload.start and payload.start not in starts:
        allowed = ", ".join(map(str, [0, *(tick for tick in starts if tick)]))
        yield FieldError("/from", f"0 or the tick of a checkpoint: {allowed}", payload.start)
    if payload.start < parent.inexact_upto:
        rule = f"at least {parent.inexact_upto}: ticks up to it are of another fingerprint"
        yield FieldError("/from", rule, payload.start)
