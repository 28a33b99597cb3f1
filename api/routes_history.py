"""Endpoint of loss histories: pages, newest ticks and views as JSON; whole ranges as streams."""

from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial

from flask import Response, request

from api.endpoints import RequestContext, ResponseSpec, Router
from api.errors import Problem, bad_parameter, error_entry
from api.etag import JSON, compute_etag, json_with_etag, response_or_304
from api.held_requests import hold_place_for_work
from api.json_text import dump_in_steps
from api.ndjson import stream_ndjson
from api.schemas import HistoryPage, HistoryQuery
from jobs.job import Job

router = Router("history")
CSV, NDJSON, BINARY = "text/csv", "application/x-ndjson", "application/octet-stream"
HISTORY_MEDIA_TYPES = (JSON, CSV, NDJSON, BINARY)
VARY = "Accept"
MAX_FREE_PAGE_TICKS = 10_000  # of a page that needs no place among the long answers
#: (parameter, parameters that cannot be used with it)
EXCLUSIVE_PARAMETERS = (("last", ("after", "before", "limit", "points")), ("points", ("limit",)))


@router.endpoint(
    "GET /v1/jobs/<job_id>/history",
    query=HistoryQuery,
    produces=HISTORY_MEDIA_TYPES,
    headers=("If-None-Match",),
    responses={
        200: ResponseSpec(
            "ticks and columns",
            HistoryPage,
            media_types=HISTORY_MEDIA_TYPES[1:],
            headers=("ETag", "Retry-After", "X-First-Tick", "X-Last-Tick"),
        )
    },
    error_statuses=(404,),
)
def get_history(context: RequestContext, job_id: str, query: HistoryQuery) -> Response:
    """Read a job's history: JSON in pages or as a view; CSV, NDJSON or float32 as a whole range."""
    _check_exclusive(query, context.accepted_media_type)
    name = context.tenant, job_id

    def fetch() -> Job:
        return context.deps.job_queries.get_job(*name).for_history(lineage=query.lineage)

    def is_done(job: Job, _waited_seconds: float) -> bool:
        if job.is_terminal or not _has_more(context, job, query):
            return job.is_terminal
        is_conditional = bool(request.if_none_match)
        return not is_conditional or _history_response(context, job, query).status_code != 304

    wait_for = context.deps.long_poller.wait_for
    result = wait_for(name, query.wait, fetch, is_done, min_tick=query.after + 1)
    return result.add_retry_after(_history_response(context, result.value, query))


def _history_response(context: RequestContext, job: Job, query: HistoryQuery) -> Response:
    if context.accepted_media_type == JSON:
        is_long = (query.last or query.limit) > MAX_FREE_PAGE_TICKS and query.points is None
        with hold_place_for_work() if is_long else nullcontext():
            text = dump_in_steps({**_read_page(context, job, query), **_lineage_json(job, query)})
        return json_with_etag(text, vary=VARY)
    return _stream_range(context, job, query)


def _lineage_json(job: Job, query: HistoryQuery) -> dict[str, object]:
    if not query.lineage:
        return {}
    return {"lineage": [entry.model_dump(include={"job_id", "last_tick"}) for entry in job.lineage]}


def _has_more(context: RequestContext, job: Job, query: HistoryQuery) -> bool:
    """Whether the history has anything beyond `after`."""
    page = context.deps.history.read(job, query.columns.split(","), query.after, query.before, 1)
    column_values = (page[name] for name in (*query.columns.split(","), "tick") if name in page)
    return any(values["tick"] if isinstance(values, dict) else values for values in column_values)


def _check_exclusive(query: HistoryQuery, media_type: str) -> None:
    given_names = query.model_fields_set
    error_entries = [
        error_entry("parameter", other, f"not together with {name}")
        for name, others in EXCLUSIVE_PARAMETERS
        for other in others
        if name in given_names and other in given_names
    ]
    if error_entries:
        names = ", ".join(entry["parameter"] for entry in error_entries)
        detail = f"{names}: not together with others"
        raise Problem("invalid-parameter", detail, error_entries=error_entries)
    if query.points is not None and media_type != JSON:
        raise bad_parameter("points", "a view has the form application/json only")


def _read_page(context: RequestContext, job: Job, query: HistoryQuery) -> dict[str, object]:
    history, columns = context.deps.history, query.columns.split(",")
    after, before = query.after, query.before
    if query.last is not None:
        return history.read_newest(job, query.last, columns)
    if query.points is not None:
        return history.read_view(job, columns, points=query.points, after=after, before=before)
    return history.read(job, columns, after, before, query.limit)


def _stream_range(context: RequestContext, job: Job, query: HistoryQuery) -> Response:
    """Stream a whole range, up to the job's tick at the time of the request, in bounded memory.

    The ETag is weak and computed from the job's state: the bytes are known only once sent.
    """
    job_state = job.model_dump_json(include={"id", "status", "tick", "metrics", "elapsed_seconds"})
    query_json, media_type = query.model_dump_json(exclude={"wait"}), context.accepted_media_type
    etag = compute_etag(job_state, str(job.latest_checkpoint), query_json, media_type)
    make_response = partial(_range_response, context, job, query)
    return response_or_304(etag, make_response, weak=True, vary=VARY)


def _range_response(context: RequestContext, job: Job, query: HistoryQuery) -> Response:
    media_type, history = context.accepted_media_type, context.deps.history
    columns, (after, before) = query.columns.split(","), _tick_bounds(job, query)
    if media_type == BINARY:
        return _binary_response(context, job, columns, after, before)
    lines: Iterator[bytes] = (
        history.stream_csv(job, columns, after, before)
        if media_type == CSV
        else stream_ndjson(history, job, columns, after, before)
    )
    return Response(lines, content_type=media_type)


def _tick_bounds(job: Job, query: HistoryQuery) -> tuple[int, int]:
    """Return exclusive bounds; the upper one makes a running job's stream end."""
    after = query.after if query.last is None else max(0, job.tick - query.last)
    end = job.tick + 1
    return after, end if query.before is None else min(end, query.before)


def _binary_response(
    context: RequestContext, job: Job, columns: list[str], after: int, before: int
) -> Response:
    if len(columns) != 1:
        raise bad_parameter("columns", "one column in this form", ",".join(columns))
    binary = context.deps.history.stream_binary(job, columns[0], after, before)
    response = Response(binary.pieces, content_type=BINARY)
    response.content_length = 4 * (binary.last - binary.first + 1)
    response.headers["X-First-Tick"] = str(binary.first)
    response.headers["X-Last-Tick"] = str(binary.last)
    return response
