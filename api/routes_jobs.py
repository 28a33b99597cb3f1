"""Jobs over HTTP: submit, plan, list, look, say, ask, delete, attempts."""

from flask import Response, request

from api.body import digest, read_as
from api.etag import tagged
from api.pages import page_from, page_of
from api.query import Oldest
from api.registrar import Answer, Call, Endpoints, header_of, json_answer, model_answer
from api.schemas import AttemptPage, JobPage, JobPatch, JobQuery
from jobs import bell, logs, presence
from jobs.job import Job, Verb
from jobs.plan import Plan, plan
from jobs.spec.job_spec import AskedSpec, read_spec

endpoint = Endpoints("jobs")
ONE = "/v1/jobs/<job_id>"
ASKED = {
    200: Answer("so at once, or already", Job),
    202: Answer("under way", Job),
}
LONGEST_KEY = 255


@endpoint(
    "POST /v1/jobs",
    body=AskedSpec,
    scope="submit",
    headers=("Idempotency-Key",),
    answers={202: Answer("queued", Job, headers=("Location", "Idempotent-Replayed"))},
    refusals=(410, 507),
)
def submit_job(call: Call, body: object) -> Response:
    """Submit a training job."""
    key = header_of("Idempotency-Key", LONGEST_KEY)
    spec = read_spec(body, max_parameters=call.service.settings.max_parameters)
    made = call.service.ledger.submit(
        call.tenant, spec, idempotency_key=key, body_digest=digest(body) if key else ""
    )
    if made.new:
        bell.ring(spec.queue)
    headers = {"Location": f"/v1/jobs/{made.job_id}"}
    if not made.new:
        headers["Idempotent-Replayed"] = "true"
    return json_answer(_text(_job(call, made.job_id)), 202, headers)


@endpoint(
    "POST /v1/jobs/plan",
    body=AskedSpec,
    scope="read",
    answers={200: Answer("what the spec would mean", Plan)},
)
def plan_job(call: Call, body: object) -> Response:
    """Say what a spec would mean. Nothing is stored."""
    spec = read_spec(body, max_parameters=call.service.settings.max_parameters)
    return model_answer(plan(spec, presence.live(call.service.store)))


@endpoint("GET /v1/jobs", query=JobQuery, answers={200: Answer("a page of jobs", JobPage)})
def list_jobs(call: Call, query: JobQuery) -> Response:
    """List jobs, newest first."""
    single = [("name", query.name), ("kind", query.kind), ("parent", query.parent)]
    page = call.service.index.jobs(
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
    return json_answer(page_of([_text(job) for job in page.data], page.next_after))


@endpoint(
    f"GET {ONE}",
    headers=("If-None-Match",),
    answers={200: Answer("the job", Job, headers=("ETag",)), 304: Answer("not modified")},
    refusals=(404,),
)
def get_job(call: Call, job_id: str) -> Response:
    """Look at a job."""
    return tagged(request, _text(_job(call, job_id)))


@endpoint(
    f"PATCH {ONE}",
    body=JobPatch,
    scope="submit",
    answers={200: Answer("the job", Job)},
    refusals=(404,),
)
def patch_job(call: Call, job_id: str, body: object) -> Response:
    """Change what is said about a job, never its spec."""
    said = read_as(JobPatch, body).model_dump(exclude_unset=True)
    call.service.ledger.patch(call.tenant, job_id, **said)
    return json_answer(_text(_job(call, job_id)))


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
    call.service.ledger.delete(call.tenant, job_id)
    try:
        call.service.files.remove_job(call.tenant, job_id)
    except OSError as error:  # the job is gone all the same; only its disk space is not yet free
        logs.get("api").warning("files not removed", job=job_id, error=repr(error))
    return Response(status=204)


@endpoint(
    f"GET {ONE}/attempts",
    query=Oldest,
    answers={200: Answer("the job's claims", AttemptPage)},
    refusals=(404,),
)
def list_attempts(call: Call, job_id: str, query: Oldest) -> Response:
    """List who has trained a job, one entry a claim."""
    attempts = call.service.index.attempts(call.tenant, job_id)
    return json_answer(
        page_from(
            [(each.number, each) for each in attempts],
            after=query.after,
            limit=query.limit,
            descending=query.order == "desc",
        )
    )


def _ask(call: Call, job_id: str, verb: Verb) -> Response:
    answer = call.service.ledger.request(call.tenant, job_id, verb)
    job = _job(call, job_id)
    if verb in ("stop", "resume") and job.status == "queued":
        bell.ring(job.spec.queue)
    return json_answer(_text(job), 200 if answer == "done" else 202)


def _job(call: Call, job_id: str) -> Job:
    return call.service.index.job(call.tenant, job_id)


def _text(job: Job) -> str:
    here = f"/v1/jobs/{job.id}"
    parts = ("history", "checkpoints", "attempts")
    links = {"self": here, **{part: f"{here}/{part}" for part in parts}}
    return job.model_copy(update={"links": links}).model_dump_json()
