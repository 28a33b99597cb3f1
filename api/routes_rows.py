"""Endpoint of the rows of a job: what it trains on, validates on, tests on, and has in a tick."""

import json

from flask import Response

from api.endpoints import RequestContext, ResponseSpec, Router, json_response
from api.errors import bad_parameter
from api.schemas_rows import JobRowsPage, JobRowsQuery
from jobs.datasets.job_row_reader import JobRowPage
from jobs.errors import NoSuchPart
from jobs.job import QUESTION_KINDS, Job

router = Router("jobs")


@router.endpoint(
    "GET /v1/jobs/<job_id>/rows",
    query=JobRowsQuery,
    responses={200: ResponseSpec("numbers of rows", JobRowsPage)},
    error_statuses=(404, 409),
)
def list_job_rows(context: RequestContext, job_id: str, query: JobRowsQuery) -> Response:
    """List the rows of a split or of a tick: functions of spec and data, whatever has run."""
    job = context.deps.job_queries.get_job(context.tenant, job_id)
    if job.kind in QUESTION_KINDS:
        raise NoSuchPart(f"{job.kind} of a dataset: it reads all rows of {job.dataset}")
    rows, total = _read_page(context, job, query)
    last = query.after + len(rows)
    next_after = str(last) if rows and last < total else None
    has_more = next_after is not None
    page = {"data": rows, "next_after": next_after, "has_more": has_more, "total": total}
    return json_response(json.dumps(page))


def _read_page(context: RequestContext, job: Job, query: JobRowsQuery) -> JobRowPage:
    reader, page = context.deps.job_rows, (query.after, query.limit)
    if query.tick is None:
        return reader.read_part(job, query.split or "training", *page)
    if query.split is not None:
        raise bad_parameter("tick", "not with split", str(query.tick))
    if query.tick > (job.ticks_total or query.tick):
        raise bad_parameter("tick", f"at most the job's {job.ticks_total} ticks", str(query.tick))
    return reader.read_tick(job, query.tick, *page)
