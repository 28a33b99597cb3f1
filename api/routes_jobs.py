"""Jobs over HTTP: submit, plan, list, look, say, ask, delete, attempts."""

from functools import partial

from flask import Response

from api import submissions
from api.endpoints import (
    MAX_IDEMPOTENCY_KEY_LENGTH,
    RequestContext,
    ResponseSpec,
    Router,
    json_response,
    model_response,
    read_header,
)
from api.job_responses import job_json, job_response, long_poll_job
from api.json_body import body_digest, parse_model
from api.pagination import page_json, paginate
from api.query import PageQuery
from api.schemas import AttemptPage, JobPage, JobPatch, JobQuery
from api.schemas_events import JobPollQuery
from jobs import celery_app, fault_points, logs
from jobs.errors import NoSuchDataset, NoSuchJob
from jobs.job import Job, Transition
from jobs.plan import Plan, check_memory, plan
from jobs.queries import worker_registry
from jobs.spec.job_spec import JobSpec, JobSpecRequest, read_spec
from jobs.spec.pydantic_errors import InvalidSpec

router = Router("jobs")
JOB_PATH = "/v1/jobs/<job_id>"
TRANSITION_RESPONSES = {
    200: ResponseSpec("so at once, or already", Job, headers=("ETag",)),
    202: ResponseSpec("under way", Job, headers=("ETag",)),
}


@router.endpoint(
    "POST /v1/jobs",
    body=JobSpecRequest,
    scope="submit",
    headers=("Idempotency-Key",),
    responses={
        202: ResponseSpec("queued", Job, headers=("Location", "ETag", "Idempotent-Replayed"))
    },
    error_statuses=(409, 410, 507),
)
def submit_job(context: RequestContext, body: object) -> Response:
    """Submit a training job."""
    idempotency_key = read_header("Idempotency-Key", MAX_IDEMPOTENCY_KEY_LENGTH)
    try:
        response = _create_from_body(context, body, idempotency_key)
    except InvalidSpec:
        # it may have been good when it was sent before: a dataset that it names is gone since
        existing_job_id = (
            context.deps.job_queries.find_by_idempotency_key(
                context.tenant, idempotency_key, body_digest(body)
            )
            if idempotency_key
            else None
        )
        if existing_job_id is None:
            raise
        response = submissions.replay_response(context, existing_job_id)
    fault_points.hit("api:answered")
    return response


@router.endpoint(
    "POST /v1/jobs/plan",
    body=JobSpecRequest,
    scope="submit",
    responses={200: ResponseSpec("what the spec would mean", Plan)},
)
def plan_job(context: RequestContext, body: object) -> Response:
    """Say what a spec would mean. Nothing is stored."""
    spec = _parse_spec(context, body)
    return model_response(plan(spec, worker_registry.live_workers(context.deps.store)))


@router.endpoint(
    "GET /v1/jobs", query=JobQuery, responses={200: ResponseSpec("a page of jobs", JobPage)}
)
def list_jobs(context: RequestContext, query: JobQuery) -> Response:
    """List jobs, newest first."""
    exact_filters = [("name", query.name), ("kind", query.kind), ("parent", query.parent)]
    page = context.deps.job_queries.list_jobs(
        context.tenant,
        filters=[
            *(("status", status) for status in query.status),
            *(("label", label) for label in query.label),
            *((field, value) for field, value in exact_filters if value is not None),
        ],
        limit=query.limit,
        after=query.after,
        descending=query.order == "desc",
    )
    return json_response(page_json([job_json(job) for job in page.data], page.next_after))


@router.endpoint(
    f"GET {JOB_PATH}",
    query=JobPollQuery,
    headers=("If-None-Match",),
    responses={
        200: ResponseSpec("the job", Job, headers=("ETag", "Retry-After")),
        304: ResponseSpec("not modified"),
    },
    error_statuses=(404,),
)
def get_job(context: RequestContext, job_id: str, query: JobPollQuery) -> Response:
    """Look at a job, at once or when there is news."""
    return long_poll_job(context, job_id, query)


@router.endpoint(
    f"PATCH {JOB_PATH}",
    body=JobPatch,
    scope="submit",
    responses={200: ResponseSpec("the job", Job, headers=("ETag",))},
    error_statuses=(404,),
)
def patch_job(context: RequestContext, job_id: str, body: object) -> Response:
    """Change what is said about a job, never its spec."""
    changes = parse_model(JobPatch, body).model_dump(exclude_unset=True)
    context.deps.ledger.patch(context.tenant, job_id, **changes)
    context.deps.job_archive.save(context.tenant, job_id)
    return job_response(_get_job(context, job_id))


@router.endpoint(
    f"POST {JOB_PATH}/cancel",
    scope="submit",
    responses=TRANSITION_RESPONSES,
    error_statuses=(404, 409),
)
def cancel_job(context: RequestContext, job_id: str) -> Response:
    """End a job as cancelled; what was checkpointed stays."""
    return _request_transition(context, job_id, "cancel")


@router.endpoint(
    f"POST {JOB_PATH}/stop",
    scope="submit",
    responses=TRANSITION_RESPONSES,
    error_statuses=(404, 409),
)
def stop_job(context: RequestContext, job_id: str) -> Response:
    """End a job early and keep it: a last validation and checkpoint, then succeeded."""
    return _request_transition(context, job_id, "stop")


@router.endpoint(
    f"POST {JOB_PATH}/pause",
    scope="submit",
    responses=TRANSITION_RESPONSES,
    error_statuses=(404, 409),
)
def pause_job(context: RequestContext, job_id: str) -> Response:
    """Save a checkpoint exactly where the job stands, and free its worker."""
    return _request_transition(context, job_id, "pause")


@router.endpoint(
    f"POST {JOB_PATH}/resume",
    scope="submit",
    responses=TRANSITION_RESPONSES,
    error_statuses=(404, 409),
)
def resume_job(context: RequestContext, job_id: str) -> Response:
    """Let a paused job go on from where it stands."""
    return _request_transition(context, job_id, "resume")


@router.endpoint(f"DELETE {JOB_PATH}", scope="submit", produces=(), responses={204: ResponseSpec("deleted")},
          error_statuses=(404, 409))  # fmt: skip
def delete_job(context: RequestContext, job_id: str) -> Response:
    """Remove an ended job with its history and files."""
    archive = context.deps.job_archive
    try:
        result = context.deps.ledger.delete(context.tenant, job_id)
    except NoSuchJob:
        archive.ensure_tombstone(context.tenant, job_id)
        raise
    archive.save_tombstone(context.tenant, job_id, result.sequence, result.idempotency_keys)
    try:
        context.deps.artifacts.remove_job(context.tenant, job_id)
    except OSError as error:  # the job is gone all the same; only its disk space is not yet free
        logs.get_logger("api").warning("files not removed", job=job_id, error=repr(error))
    return Response(status=204)


@router.endpoint(
    f"GET {JOB_PATH}/attempts",
    query=PageQuery,
    responses={200: ResponseSpec("the job's claims", AttemptPage)},
    error_statuses=(404,),
)
def list_attempts(context: RequestContext, job_id: str, query: PageQuery) -> Response:
    """List who has trained a job, one entry a claim."""
    attempts = context.deps.job_queries.list_attempts(context.tenant, job_id)
    return json_response(
        paginate(
            [(attempt.number, attempt) for attempt in attempts],
            after=query.after,
            limit=query.limit,
            descending=query.order == "desc",
        )
    )


def _request_transition(context: RequestContext, job_id: str, transition: Transition) -> Response:
    outcome = context.deps.ledger.request_transition(context.tenant, job_id, transition)
    context.deps.job_archive.save(context.tenant, job_id)
    job = _get_job(context, job_id)
    if transition in ("stop", "resume") and job.status == "queued":
        celery_app.wake_workers(job.spec.queue)
    return job_response(job, 200 if outcome == "done" else 202)


def _create_from_body(
    context: RequestContext, body: object, idempotency_key: str | None
) -> Response:
    spec = _parse_spec(context, body)
    try:
        return submissions.create_job(
            context, spec, idempotency_key, body_digest(body) if idempotency_key else ""
        )
    except NoSuchDataset:  # it was deleted since the spec was checked
        return _create_from_body(context, body, idempotency_key)


def _parse_spec(context: RequestContext, body: object) -> JobSpec:
    spec = read_spec(
        body,
        max_parameters=context.deps.settings.max_parameters,
        datasets=partial(context.deps.datasets.look_up, context.tenant),
    )
    check_memory(spec, worker_registry.live_workers(context.deps.store))
    return spec


def _get_job(context: RequestContext, job_id: str) -> Job:
    return context.deps.job_queries.get_job(context.tenant, job_id)
