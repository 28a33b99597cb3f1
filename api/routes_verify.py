"""Endpoint of verifies: jobs that run recorded ticks again and compare every bit."""

from flask import Response

from api.endpoints import RequestContext, ResponseSpec, Router, read_idempotency
from api.job_responses import new_job_response
from api.json_body import parse_model
from api.schemas_checkpoints import VerifyRequest
from jobs.job import Job

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
    idempotency = read_idempotency({"verify of": job_id, "body": body})
    payload = parse_model(VerifyRequest, body)
    submission = context.deps.jobs.verify(
        context.tenant, job_id, payload.start, payload.to, idempotency
    )
    return new_job_response(submission)
