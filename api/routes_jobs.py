"""Endpoints of jobs: submit, plan, list, read, patch, transitions, delete, attempts."""

from functools import partial

from flask import Response

from api.endpoints import (
    RequestContext,
    ResponseSpec,
    Router,
    json_response,
    model_response,
    read_idempotency,
)
from api.errors import bad_parameter
from api.job_responses import AnyJob, job_json, job_response, long_poll_job, new_job_response
from api.json_body import parse_model
from api.pagination import merge_pages, page_json, paginate
from api.query import PageQuery
from api.schemas import AttemptPage, JobOfAnyKind, JobPage, JobPatch, JobQuery
from api.schemas_events import JobPollQuery
from api.schemas_tenants import JobDeleteQuery, JobDeleteResult, parse_older_than
from jobs import fault_points
from jobs.answers.queries import AnswerFilter
from jobs.job import QUESTION_KINDS, Job, Transition
from jobs.plan import Plan
from jobs.queries.ended_jobs import EndedJobFilter
from jobs.queries.jobs import NOT
from jobs.spec.job_spec import JobSpecRequest
from jobs.store.cursor import Page

router = Router("jobs")
JOB_PATH = "/v1/jobs/<job_id>"
transition_endpoint = partial(
    router.endpoint,
    scope="submit",
    responses={
        200: ResponseSpec("done", JobOfAnyKind, headers=("ETag",)),
        202: ResponseSpec("requested", JobOfAnyKind, headers=("ETag",)),
    },
    error_statuses=(404, 409, 507),
)


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
    submission = context.deps.jobs.submit(context.tenant, body, read_idempotency(body))
    fault_points.hit("api:answered")
    return new_job_response(submission)


@router.endpoint(
    "POST /v1/jobs/plan",
    body=JobSpecRequest,
    scope="submit",
    responses={200: ResponseSpec("the plan", Plan)},
)
def plan_job(context: RequestContext, body: object) -> Response:
    """Check a spec and estimate its memory, engine and queue. Nothing is stored."""
    return model_response(context.deps.jobs.plan(context.tenant, body))


@router.endpoint(
    "GET /v1/jobs", query=JobQuery, responses={200: ResponseSpec("a page of jobs", JobPage)}
)
def list_jobs(context: RequestContext, query: JobQuery) -> Response:
    """List jobs, newest first."""
    pages = [_list_ledger_jobs(context, query)]
    if query.kind == "predict":
        choice = AnswerFilter(query.status, query.name, query.parent, query.label)
        answers = context.deps.answers.queries.list_page(
            context.tenant, choice, query.limit, query.after, descending=query.order == "desc"
        )
        pages.append(Page(list(answers.data), answers.next_after))
    page = merge_pages(pages, query.limit, descending=query.order == "desc")
    return json_response(page_json([job_json(job) for job in page.data], page.next_after))


def _list_ledger_jobs(context: RequestContext, query: JobQuery) -> Page[AnyJob]:
    exact_filters = [("name", query.name), ("kind", query.kind), ("parent", query.parent)]
    hidden = [] if query.kind else [("kind", NOT + kind) for kind in QUESTION_KINDS]
    page = context.deps.job_queries.list_jobs(
        context.tenant,
        filters=[
            *(("status", status) for status in query.status),
            *(("label", label) for label in query.label),
            *((field, value) for field, value in exact_filters if value is not None),
            *hidden,
        ],
        limit=query.limit,
        after=query.after,
        descending=query.order == "desc",
    )
    return Page(list(page.data), page.next_after)


@router.endpoint(
    f"GET {JOB_PATH}",
    query=JobPollQuery,
    headers=("If-None-Match",),
    responses={
        200: ResponseSpec("the job", JobOfAnyKind, headers=("ETag", "Retry-After", "X-Until-Met"))
    },
    error_statuses=(404,),
)
def get_job(context: RequestContext, job_id: str, query: JobPollQuery) -> Response:
    """Read a job, now or (with `wait`) once it has changed."""
    deps, name = context.deps, (context.tenant, job_id)
    return long_poll_job(deps.long_poller, name, deps.get_job, query, deps.history)


@router.endpoint(
    f"PATCH {JOB_PATH}",
    body=JobPatch,
    scope="submit",
    responses={200: ResponseSpec("the job", Job, headers=("ETag",))},
    error_statuses=(404, 507),
)
def patch_job(context: RequestContext, job_id: str, body: object) -> Response:
    """Change a job's name, labels, notes or priority; never its spec."""
    changes = parse_model(JobPatch, body).model_dump(exclude_unset=True)
    return job_response(context.deps.jobs.patch(context.tenant, job_id, changes))


@transition_endpoint(f"POST {JOB_PATH}/cancel")
def cancel_job(context: RequestContext, job_id: str) -> Response:
    """End a job as cancelled. Its checkpoints stay."""
    return _request_transition(context, job_id, "cancel")


@transition_endpoint(f"POST {JOB_PATH}/stop")
def stop_job(context: RequestContext, job_id: str) -> Response:
    """End a job early as succeeded, after a last validation and checkpoint."""
    return _request_transition(context, job_id, "stop")


@transition_endpoint(f"POST {JOB_PATH}/pause")
def pause_job(context: RequestContext, job_id: str) -> Response:
    """Save a checkpoint at the job's current tick and free its worker."""
    return _request_transition(context, job_id, "pause")


@transition_endpoint(f"POST {JOB_PATH}/resume")
def resume_job(context: RequestContext, job_id: str) -> Response:
    """Continue a paused job from its last tick."""
    return _request_transition(context, job_id, "resume")


@router.delete_endpoint(JOB_PATH)
def delete_job(context: RequestContext, job_id: str) -> Response:
    """Delete an ended job with its history and files."""
    deps = context.deps
    is_answer = deps.answers.is_answer(context.tenant, job_id)
    (deps.answers if is_answer else deps.jobs).delete(context.tenant, job_id)
    return Response(status=204)


@router.endpoint(
    "DELETE /v1/jobs",
    query=JobDeleteQuery,
    scope="submit",
    responses={200: ResponseSpec("what was deleted", JobDeleteResult)},
    error_statuses=(507,),
)
def delete_jobs(context: RequestContext, query: JobDeleteQuery) -> Response:
    """Delete the ended jobs that match, the first submitted first, with history and files.

    At least one filter is needed. A call looks at 1,000 jobs, for about ten seconds at most;
    `next_after` goes on. Jobs with a pinned checkpoint and those that a live job needs stay: each
    can be deleted by its id.
    """
    if not (query.label or query.status or query.older_than):
        raise bad_parameter("label", "at least one of label, status and older_than is needed")
    older_than = None if query.older_than is None else parse_older_than(query.older_than)
    choice = EndedJobFilter(query.label, query.status, older_than)
    result = context.deps.jobs.delete_ended(context.tenant, choice, after=query.after)
    return model_response(
        JobDeleteResult(
            deleted=result.deleted,
            kept=result.spared,
            next_after=result.next_after,
            has_more=result.next_after is not None,
        )
    )


@router.endpoint(
    f"GET {JOB_PATH}/attempts",
    query=PageQuery,
    responses={200: ResponseSpec("the job's attempts", AttemptPage)},
    error_statuses=(404,),
)
def list_attempts(context: RequestContext, job_id: str, query: PageQuery) -> Response:
    """List the attempts of a job, one for each claim by a worker."""
    attempts = context.deps.job_queries.list_attempts(context.tenant, job_id)
    return json_response(paginate([(attempt.cursor, attempt) for attempt in attempts], query))


def _request_transition(context: RequestContext, job_id: str, transition: Transition) -> Response:
    deps, tenant = context.deps, context.tenant
    if deps.answers.is_answer(tenant, job_id):
        is_done = deps.answers.cancel(tenant, job_id, transition)
        return job_response(deps.answers.queries.get(tenant, job_id), 200 if is_done else 202)
    job, is_done = deps.jobs.request_transition(tenant, job_id, transition)
    return job_response(job, 200 if is_done else 202)
