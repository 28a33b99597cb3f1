"""Loss histories over HTTP: pages, the newest ticks and views as JSON; whole ranges as streams."""

import json
from collections.abc import Iterator

from flask import Response, request

from api.errors import Problem, bad_parameter, fault
from api.etag import known, mark, not_modified, tag_of, tagged
from api.ndjson import ndjson
from api.registrar import Answer, Call, Endpoints
from api.schemas import History, HistoryQuery
from jobs.job import Job

endpoint = Endpoints("history")
JSON, CSV = "application/json", "text/csv"
NDJSON, BINARY = "application/x-ndjson", "application/octet-stream"
FORMS = (JSON, CSV, NDJSON, BINARY)
VARY = "Accept"
#: where the first is given, the others cannot be
EXCLUDES = (
    ("last", ("after", "before", "limit", "points")),
    ("points", ("limit",)),
)


@endpoint(
    "GET /v1/jobs/<job_id>/history",
    query=HistoryQuery,
    offers=FORMS,
    headers=("If-None-Match",),
    answers={
        200: Answer(
            "ticks and columns",
            History,
            media=FORMS[1:],
            headers=("ETag", "Retry-After", "X-First-Tick", "X-Last-Tick"),
        ),
        304: Answer("not modified"),
    },
    refusals=(404,),
)
def get_history(call: Call, job_id: str, query: HistoryQuery) -> Response:
    """Read the history: JSON in pages or as a view; CSV, NDJSON or float32 as a whole range."""
    _check_together(query, call.form)

    def look() -> Job:
        return call.service.index.get_job(call.tenant, job_id)

    def ends(job: Job, _waited: float) -> bool:
        if job.is_terminal or not _has_more(call, job, query):
            return job.is_terminal
        return not request.if_none_match or _answer(call, job, query).status_code != 304

    held = call.service.waiting.hold(
        (call.tenant, job_id), query.wait, look, ends, least=query.after + 1
    )
    return held.mark(_answer(call, held.value, query))


def _answer(call: Call, job: Job, query: HistoryQuery) -> Response:
    if call.form == JSON:
        return tagged(request, json.dumps(_read(call, job, query), allow_nan=False), vary=VARY)
    return _stream(call, job, query)


def _has_more(call: Call, job: Job, query: HistoryQuery) -> bool:
    """Whether anything lies beyond `after`."""
    page = call.service.history.read(job, query.columns.split(","), query.after, query.before, 1)
    found = (page[name] for name in (*query.columns.split(","), "tick") if name in page)
    return any(each["tick"] if isinstance(each, dict) else each for each in found)


def _check_together(query: HistoryQuery, form: str) -> None:
    given = query.model_fields_set
    faults = [
        fault("parameter", other, f"not together with {name}")
        for name, others in EXCLUDES
        for other in others
        if name in given and other in given
    ]
    if faults:
        names = ", ".join(each["parameter"] for each in faults)
        raise Problem("invalid-parameter", f"{names}: not together with others", faults=faults)
    if query.points is not None and form != JSON:
        raise bad_parameter("points", "a view has the form application/json only")


def _read(call: Call, job: Job, query: HistoryQuery) -> dict[str, object]:
    history, columns = call.service.history, query.columns.split(",")
    if query.last is not None:
        return history.read_newest(job, query.last, columns)
    if query.points is not None:
        return history.read_view(
            job, columns, points=query.points, after=query.after, before=query.before
        )
    return history.read(job, columns, query.after, query.before, query.limit)


def _stream(call: Call, job: Job, query: HistoryQuery) -> Response:
    """Send a whole range in bounded memory, as far as the job had come when it was asked.

    The tag is weak and made of the job as it was then: the bytes are not known before they are
    sent.
    """
    seen = job.model_dump_json(include={"id", "status", "tick", "metrics", "elapsed_seconds"})
    asked = query.model_dump_json(exclude={"wait"})
    tag = tag_of(seen, str(job.latest_checkpoint), asked, call.form)
    if known(request, tag):
        return not_modified(tag, weak=True, vary=VARY)
    columns = query.columns.split(",")
    after, before = _range(job, query)
    if call.form == BINARY:
        response = _binary(call, job, columns, after, before)
    else:
        history = call.service.history
        lines: Iterator[bytes] = (
            history.stream_csv(job, columns, after, before)
            if call.form == CSV
            else ndjson(history, job, columns, after, before)
        )
        response = Response(lines, content_type=call.form)
    return mark(response, tag, weak=True, vary=VARY)


def _range(job: Job, query: HistoryQuery) -> tuple[int, int]:
    """Exclusive bounds; `before` is fixed, so that a running job's stream has an end."""
    after = query.after if query.last is None else max(0, job.tick - query.last)
    end = job.tick + 1
    return after, end if query.before is None else min(end, query.before)


def _binary(call: Call, job: Job, columns: list[str], after: int, before: int) -> Response:
    if len(columns) != 1:
        raise bad_parameter("columns", "one column in this form", ",".join(columns))
    binary = call.service.history.stream_binary(job, columns[0], after, before)
    response = Response(binary.pieces, content_type=BINARY)
    response.content_length = 4 * (binary.last - binary.first + 1)
    response.headers["X-First-Tick"] = str(binary.first)
    response.headers["X-Last-Tick"] = str(binary.last)
    return response
