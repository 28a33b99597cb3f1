"""Access keys over HTTP: make, list, delete. All of it needs the scope admin."""

from flask import Response

from api.auth import ADMIN_ID
from api.body import digest, read_as
from api.errors import Problem
from api.pages import page_of
from api.registrar import LONGEST_KEY, Answer, Call, Endpoints, header_of, json_answer
from api.schemas_keys import KeyPage, KeyQuery, MadeKey, NewKey
from jobs.errors import NoSuchKey
from jobs.ids import is_key_id

endpoint = Endpoints("keys")


@endpoint(
    "POST /v1/keys",
    body=NewKey,
    scope="admin",
    headers=("Idempotency-Key",),
    answers={201: Answer("made", MadeKey, headers=("Idempotent-Replayed",))},
    refusals=(410, 507),
)
def create_key(call: Call, body: object) -> Response:
    """Make a key. Its secret is in this answer and never again."""
    key = header_of("Idempotency-Key", LONGEST_KEY)
    asked = read_as(NewKey, body)
    with call.service.holdings.reserve() as room:
        made = call.service.access.create(
            asked.tenant,
            frozenset(asked.scopes),
            asked.name,
            creator=call.tenant,
            idempotency_key=key,
            body_digest=digest(body) if key else "",
        )
        call.service.holdings.save_key(made.info.id, room)
    told = MadeKey(**made.info.model_dump(), secret=made.secret)
    replayed = made.secret is None
    return json_answer(
        told.model_dump_json(exclude={"secret"} if replayed else None),
        201,
        {"Idempotent-Replayed": "true"} if replayed else None,
    )


@endpoint(
    "GET /v1/keys", query=KeyQuery, scope="admin", answers={200: Answer("a page of keys", KeyPage)}
)
def list_keys(call: Call, query: KeyQuery) -> Response:
    """List keys, newest first. The admin key of the service's settings is not among them."""
    page = call.service.access.list_keys(
        query.tenant, limit=query.limit, after=query.after, descending=query.order == "desc"
    )
    return json_answer(page_of([each.model_dump_json() for each in page.data], page.next_after))


@endpoint(
    "DELETE /v1/keys/<key_id>",
    scope="admin",
    offers=(),
    answers={204: Answer("deleted")},
    refusals=(404, 409),
)
def delete_key(call: Call, key_id: str) -> Response:
    """Delete a key; it stops with the next request."""
    if key_id == ADMIN_ID:
        raise Problem("settings-key", "change TICKFORGE_ADMIN_KEY and start the service again")
    if not is_key_id(key_id):
        raise NoSuchKey(key_id)
    try:
        call.service.access.delete(key_id)
    except NoSuchKey:  # a try that was cut short may have deleted it
        call.service.holdings.save_key_tombstone(key_id)
        raise
    call.service.holdings.save_key_tombstone(key_id)
    return Response(status=204)
