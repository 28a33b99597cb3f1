"""What happened to jobs, over HTTP: one job's events as a list or a stream, a stream of many."""

import re

from flask import Response, request

from api.errors import Problem, bad_header, fault
from api.etag import known, mark, not_modified, tag_of
from api.pages import page_of
from api.registrar import Answer, Call, Endpoints
from api.schemas_waits import EventPage, EventsQuery, StreamQuery
from api.streams import MEDIA_TYPE, stream
from api.waiting import NEVER
from jobs.errors import NoSuchJob
from jobs.events import EventBatch

endpoint = Endpoints("events")
JSON = "application/json"
VARY = "Accept"
NUMBER = re.compile(r"[0-9]{1,15}")


@endpoint(
    "GET /v1/jobs/<job_id>/events",
    query=EventsQuery,
    offers=(JSON, MEDIA_TYPE),
    headers=("If-None-Match", "Last-Event-ID"),
    answers={
        200: Answer("events", EventPage, media=(MEDIA_TYPE,), headers=("ETag", "Retry-After")),
        304: Answer("not modified"),
    },
    refusals=(404,),
)
def list_events(call: Call, job_id: str, query: EventsQuery) -> Response:
    """Read a job's events as a list, or follow them as server-sent events to the job's end."""
    last = _last_event()
    if call.form == MEDIA_TYPE:
        return _stream_one(call, job_id, query, last)

    def look() -> "_Seen":
        return _Seen(
            call.service.events.read(
                call.tenant,
                job_id,
                after=query.after,
                limit=query.limit,
                descending=query.order == "desc",
            )
        )

    held = call.service.waiting.hold(
        (call.tenant, job_id), query.wait, look, lambda seen, _: seen.ends, least=NEVER
    )
    return held.mark(held.value.answer())


@endpoint(
    "GET /v1/events",
    query=StreamQuery,
    offers=(MEDIA_TYPE,),
    answers={200: Answer("events of these jobs, from now on", media=(MEDIA_TYPE,))},
    refusals=(404,),
)
def stream_events(call: Call, query: StreamQuery) -> Response:
    """Follow several jobs in one stream: each one's status at first, then what comes."""
    looks, missing = {}, []
    for job_id in dict.fromkeys(query.job):
        try:
            looks[call.tenant, job_id] = call.service.events.read_since(call.tenant, job_id)
        except NoSuchJob:
            missing.append(fault("parameter", "job", "no job of this id is yours", job_id))
    if missing:
        names = ", ".join(each["value"] for each in missing)
        raise Problem("no-such-job", f"no job of yours: {names}", faults=missing)
    return stream(call, looks, None)


class _Seen:
    """A page of events, as it was at one look."""

    def __init__(self, page: EventBatch) -> None:
        self._page = page
        texts = [event.model_dump_json() for event in page.events]
        self._text = page_of(texts, str(page.events[-1].seq) if page.has_more else None)
        self._tag = tag_of(self._text)

    @property
    def ends(self) -> bool:
        """Whether there is something new for the client, or nothing to come."""
        new = bool(self._page.events) and not known(request, self._tag)
        return new or self._page.is_terminal

    def answer(self) -> Response:
        """Return it, or 304 for who has it."""
        if known(request, self._tag):
            return not_modified(self._tag, vary=VARY)
        return mark(Response(self._text, content_type=JSON), self._tag, vary=VARY)


def _last_event() -> int | None:
    text = request.headers.get("Last-Event-ID")
    if text is not None and not NUMBER.fullmatch(text):
        raise bad_header("invalid-parameter", "Last-Event-ID", "an event's number", text)
    return None if text is None else int(text)


def _stream_one(call: Call, job_id: str, query: EventsQuery, last: int | None) -> Response:
    if faults := [
        fault("parameter", name, f"not for {MEDIA_TYPE}", getattr(query, name))
        for name in sorted(query.model_fields_set - {"after"})
    ]:
        raise Problem("invalid-parameter", f"only `after` goes with {MEDIA_TYPE}", faults=faults)
    after = (query.after or 0) if last is None else last
    look = call.service.events.read_since(call.tenant, job_id)
    return stream(call, {(call.tenant, job_id): look}, after)
