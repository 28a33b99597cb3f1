"""Jobs over HTTP: submit, plan, list, look, say, ask, delete, attempts."""

from functools import partial

from flask import Response

from api import submitted
from api.body import digest, read_as
from api.job_answers import awaited, text_of, told
from api.pages import page_from, page_of
from api.query import Oldest
from api.registrar import (
    LONGEST_KEY,
    Answer,
    Call,
    Endpoints,
    header_of,
    json_answer,
    model_answer,
)
from api.schemas import AttemptPage, JobPage, JobPatch, JobQuery
from api.schemas_waits import JobLook
from jobs import bell, fault_points, logs, presence
from jobs.errors import NoSuchDataset, NoSuchJob
from jobs.job import Job, Transition
from jobs.plan import Plan, check_memory, plan
from jobs.spec.faults import InvalidSpec
from jobs.spec.job_spec import JobSpec, JobSpecRequest, read_spec

endpoint = Endpoints("jobs")
ONE = "/v1/jobs/<job_id>"
ASKED = {
    200: Answer("so at once, or already", Job, headers=("ETag",)),
    202: Answer("under way", Job, headers=("ETag",)),
}


@endpoint(
    "POST /v1/jobs",
    body=JobSpecRequest,
    scope="submit",
    headers=("Idempotency-Key",),
    answers={202: Answer("queued", Job, headers=("Location", "ETag", "Idempotent-Replayed"))},
    refusals=(409, 410, 507),
)
def submit_job(call: Call, body: object) -> Response:
    """Submit a training job."""
    key = header_of("Idempotency-Key", LONGEST_KEY)
    try:
        answer = _submit(call, body, key)
    except InvalidSpec:
        # it may have been good when it was sent before: a dataset that it names is gone since
        before = (
            call.service.index.find_by_idempotency_key(call.tenant, key, digest(body))
            if key
            else None
        )
        if before is None:
            raise
        answer = submitted.replayed(call, before)
    fault_points.hit("api:answered")
    return answer


@endpoint(
    "POST /v1/jobs/plan",
    body=JobSpecRequest,
    scope="submit",
    answers={200: Answer("what the spec would mean", Plan)},
)
def plan_job(call: Call, body: object) -> Response:
    """Say what a spec would mean. Nothing is stored."""
    spec = _spec(call, body)
    return model_answer(plan(spec, presence.live_workers(call.service.store)))


@endpoint("GET /v1/jobs", query=JobQuery, answers={200: Answer("a page of jobs", JobPage)})
def list_jobs(call: Call, query: JobQuery) -> Response:
    """List jobs, newest first."""
    single = [("name", query.name), ("kind", query.kind), ("parent", query.parent)]
    page = call.service.index.list_jobs(
        call.tenant,
        filters=[
            *(("status", status) for status in query.status),
            *(("label", label) for label in query.label),
            *((field, value) for field, value in single if value is not None),
        ],
        limit=query.limit,
        after=query.after,
        descending=query.order == "desc",
    )
    return json_answer(page_of([text_of(job) for job in page.data], page.next_after))


@endpoint(
    f"GET {ONE}",
    query=JobLook,
    headers=("If-None-Match",),
    answers={
        200: Answer("the job", Job, headers=("ETag", "Retry-After")),
        304: Answer("not modified"),
    },
    refusals=(404,),
)
def get_job(call: Call, job_id: str, query: JobLook) -> Response:
    """Look at a job, at once or when there is news."""
    return awaited(call, job_id, query)


@endpoint(
    f"PATCH {ONE}",
    body=JobPatch,
    scope="submit",
    answers={200: Answer("the job", Job, headers=("ETag",))},
    refusals=(404,),
)
def patch_job(call: Call, job_id: str, body: object) -> Response:
    """Change what is said about a job, never its spec."""
    said = read_as(JobPatch, body).model_dump(exclude_unset=True)
    call.service.ledger.patch(call.tenant, job_id, **said)
    call.service.archive.save(call.tenant, job_id)
    return told(_job(call, job_id))


@endpoint(f"POST {ONE}/cancel", scope="submit", answers=ASKED, refusals=(404, 409))
def cancel_job(call: Call, job_id: str) -> Response:
    """End a job as cancelled; what was checkpointed stays."""
    return _ask(call, job_id, "cancel")


@endpoint(f"POST {ONE}/stop", scope="submit", answers=ASKED, refusals=(404, 409))
def stop_job(call: Call, job_id: str) -> Response:
    """End a job early and keep it: a last validation and checkpoint, then succeeded."""
    return _ask(call, job_id, "stop")


@endpoint(f"POST {ONE}/pause", scope="submit", answers=ASKED, refusals=(404, 409))
def pause_job(call: Call, job_id: str) -> Response:
    """Save a checkpoint exactly where the job stands, and free its worker."""
    return _ask(call, job_id, "pause")


@endpoint(f"POST {ONE}/resume", scope="submit", answers=ASKED, refusals=(404, 409))
def resume_job(call: Call, job_id: str) -> Response:
    """Let a paused job go on from where it stands."""
    return _ask(call, job_id, "resume")


@endpoint(f"DELETE {ONE}", scope="submit", offers=(), answers={204: Answer("deleted")},
          refusals=(404, 409))  # fmt: skip
def delete_job(call: Call, job_id: str) -> Response:
    """Remove an ended job with its history and files."""
    archive = call.service.archive
    try:
        gone = call.service.ledger.delete(call.tenant, job_id)
    except NoSuchJob:
        archive.ensure_tombstone(call.tenant, job_id)
        raise
    archive.save_tombstone(call.tenant, job_id, gone.sequence, gone.idempotency_keys)
    try:
        call.service.files.remove_job(call.tenant, job_id)
    except OSError as error:  # the job is gone all the same; only its disk space is not yet free
        logs.get_logger("api").warning("files not removed", job=job_id, error=repr(error))
    return Response(status=204)


@endpoint(
    f"GET {ONE}/attempts",
    query=Oldest,
    answers={200: Answer("the job's claims", AttemptPage)},
    refusals=(404,),
)
def list_attempts(call: Call, job_id: str, query: Oldest) -> Response:
    """List who has trained a job, one entry a claim."""
    attempts = call.service.index.list_attempts(call.tenant, job_id)
    return json_answer(
        page_from(
            [(each.number, each) for each in attempts],
            after=query.after,
            limit=query.limit,
            descending=query.order == "desc",
        )
    )


def _ask(call: Call, job_id: str, verb: Transition) -> Response:
    answer = call.service.ledger.request_transition(call.tenant, job_id, verb)
    call.service.archive.save(call.tenant, job_id)
    job = _job(call, job_id)
    if verb in ("stop", "resume") and job.status == "queued":
        bell.wake_workers(job.spec.queue)
    return told(job, 200 if answer == "done" else 202)


def _submit(call: Call, body: object, key: str | None) -> Response:
    spec = _spec(call, body)
    try:
        return submitted.submit(call, spec, key, digest(body) if key else "")
    except NoSuchDataset:  # it was deleted since the spec was checked
        return _submit(call, body, key)


def _spec(call: Call, body: object) -> JobSpec:
    spec = read_spec(
        body,
        max_parameters=call.service.settings.max_parameters,
        datasets=partial(call.service.datasets.look_up, call.tenant),
    )
    check_memory(spec, presence.live_workers(call.service.store))
    return spec


def _job(call: Call, job_id: str) -> Job:
    return call.service.index.get_job(call.tenant, job_id)
