"""Endpoints of forks: jobs that go on from a checkpoint of another."""

from collections.abc import Iterator
from contextlib import contextmanager

from flask import Response

from api.endpoints import (
    RequestContext,
    ResponseSpec,
    Router,
    model_response,
    read_idempotency,
)
from api.held_requests import hold_place_for_copy
from api.job_responses import new_job_response
from api.json_body import parse_model
from api.schemas_forks import ExtendRequest, ForkRequest
from jobs import fault_points
from jobs.job import Job
from jobs.plan import Plan
from jobs.spec.base import InvalidSpec

router = Router("jobs")
QUEUED = {202: ResponseSpec("queued", Job, headers=("Location", "ETag", "Idempotent-Replayed"))}


@router.endpoint(
    "POST /v1/jobs/<job_id>/fork",
    body=ForkRequest,
    is_body_optional=True,
    scope="submit",
    headers=("Idempotency-Key",),
    responses=QUEUED,
    error_statuses=(404, 409, 410, 507),
)
def fork_job(context: RequestContext, job_id: str, body: object) -> Response:
    """Go on from a checkpoint as a new job, with a changed spec. The job itself stays as it is."""
    idempotency = read_idempotency({"fork of": job_id, "body": body})
    payload = parse_model(ForkRequest, body)
    with hold_place_for_copy(), _pointers_below("/spec"):
        submission = context.deps.forks.fork(
            context.tenant, job_id, payload.tick, payload.spec, idempotency
        )
    fault_points.hit("api:answered")
    return new_job_response(submission)


@router.endpoint(
    "POST /v1/jobs/<job_id>/fork/plan",
    body=ForkRequest,
    is_body_optional=True,
    scope="submit",
    responses={200: ResponseSpec("the plan", Plan)},
    error_statuses=(404, 409),
)
def plan_fork(context: RequestContext, job_id: str, body: object) -> Response:
    """Check a fork and estimate what it needs. Nothing is stored."""
    payload = parse_model(ForkRequest, body)
    with _pointers_below("/spec"):
        plan = context.deps.forks.plan(context.tenant, job_id, payload.tick, payload.spec)
    return model_response(plan)


@router.endpoint(
    "POST /v1/jobs/<job_id>/extend",
    body=ExtendRequest,
    scope="submit",
    headers=("Idempotency-Key",),
    responses=QUEUED,
    error_statuses=(404, 409, 410, 507),
)
def extend_job(context: RequestContext, job_id: str, body: object) -> Response:
    """Go on from the final checkpoint as a new job, up to a larger budget."""
    idempotency = read_idempotency({"extension of": job_id, "body": body})
    payload = parse_model(ExtendRequest, body)
    budget = payload.budget.model_dump(mode="json")
    with hold_place_for_copy():
        submission = context.deps.forks.extend(context.tenant, job_id, budget, idempotency)
    fault_points.hit("api:answered")
    return new_job_response(submission)


@contextmanager
def _pointers_below(prefix: str) -> Iterator[None]:
    """Let the errors of a spec point into the body that it is a part of."""
    try:
        yield
    except InvalidSpec as error:
        moved = [entry._replace(pointer=prefix + entry.pointer) for entry in error.errors]
        raise InvalidSpec(moved, error.left_out) from None
