"""Endpoints of events: of one job as a list or a stream, of several jobs as a stream."""

import re
from functools import partial

from flask import Response, request

from api.endpoints import RequestContext, ResponseSpec, Router
from api.errors import Problem, bad_header, error_entry
from api.etag import JSON, compute_etag, etag_matches, response_or_304
from api.long_polling import UNREACHABLE_TICK
from api.pagination import page_json
from api.schemas_events import EventPage, EventsQuery, StreamQuery
from api.schemas_job_events import StreamedEvent
from api.sse import EVENT_STREAM, sse_response
from jobs.errors import NoSuchJob
from jobs.queries.events import EventBatch

router = Router("events")
VARY = "Accept"
EVENT_NUMBER_PATTERN = re.compile(r"[0-9]{1,15}")


@router.endpoint(
    "GET /v1/jobs/<job_id>/events",
    query=EventsQuery,
    produces=(JSON, EVENT_STREAM),
    headers=("If-None-Match", "Last-Event-ID"),
    responses={
        200: ResponseSpec(
            "events", EventPage, event_model=StreamedEvent, headers=("ETag", "Retry-After")
        )
    },
    error_statuses=(404,),
)
def list_events(context: RequestContext, job_id: str, query: EventsQuery) -> Response:
    """Read a job's events as a list, or follow them as server-sent events until the job ends."""
    last_event_id = _read_last_event_id()
    if context.accepted_media_type == EVENT_STREAM:
        return _stream_job(context, job_id, query, last_event_id)
    name, descending = (context.tenant, job_id), query.order == "desc"
    read_events = partial(context.deps.events.read, *name, after=query.after, limit=query.limit)
    result = context.deps.long_poller.wait_for(
        name,
        query.wait,
        lambda: _EventPageView(read_events(descending=descending)),
        lambda view, _: view.is_done,
        min_tick=UNREACHABLE_TICK,
    )
    return result.add_retry_after(result.value.to_response())


@router.endpoint(
    "GET /v1/events",
    query=StreamQuery,
    produces=(EVENT_STREAM,),
    responses={200: ResponseSpec("new events of these jobs", event_model=StreamedEvent)},
    error_statuses=(404,),
)
def stream_events(context: RequestContext, query: StreamQuery) -> Response:
    """Follow several jobs in one stream: first the status of each, then their new events."""
    job_states, missing = {}, []
    for job_id in dict.fromkeys(query.job):
        try:
            name = context.tenant, job_id
            job_states[name] = context.deps.events.read_since(*name)
        except NoSuchJob:
            missing.append(error_entry("parameter", "job", "no job of this id is yours", job_id))
    if missing:
        names = ", ".join(entry["value"] for entry in missing)
        raise Problem("no-such-job", f"no job of yours: {names}", error_entries=missing)
    return sse_response(context, job_states, None)


class _EventPageView:
    """A page of events as it was read, with its JSON and ETag."""

    def __init__(self, page: EventBatch) -> None:
        self._page = page
        texts = [event.model_dump_json() for event in page.events]
        self._text = page_json(texts, str(page.events[-1].seq) if page.has_more else None)
        self._etag = compute_etag(self._text)

    @property
    def is_done(self) -> bool:
        """Whether the page has events that the client lacks, or no more will come."""
        has_new = bool(self._page.events) and not etag_matches(self._etag)
        return has_new or self._page.is_terminal

    def to_response(self) -> Response:
        """Return the page, or 304 if the client has it."""
        make_response = partial(Response, self._text, content_type=JSON)
        return response_or_304(self._etag, make_response, vary=VARY)


def _read_last_event_id() -> int | None:
    text = request.headers.get("Last-Event-ID")
    if text is not None and not EVENT_NUMBER_PATTERN.fullmatch(text):
        raise bad_header("invalid-parameter", "Last-Event-ID", "an event's number", text)
    return None if text is None else int(text)


def _stream_job(
    context: RequestContext, job_id: str, query: EventsQuery, last_event_id: int | None
) -> Response:
    if error_entries := [
        error_entry("parameter", name, f"not for {EVENT_STREAM}", getattr(query, name))
        for name in sorted(query.model_fields_set - {"after"})
    ]:
        detail = f"only `after` goes with {EVENT_STREAM}"
        raise Problem("invalid-parameter", detail, error_entries=error_entries)
    after = (query.after or 0) if last_event_id is None else last_event_id
    job_state = context.deps.events.read_since(context.tenant, job_id)
    return sse_response(context, {(context.tenant, job_id): job_state}, after)
