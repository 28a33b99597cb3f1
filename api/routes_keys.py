"""Endpoints of access keys: create, list, delete. All need the scope admin."""

from flask import Response

from api.auth import ADMIN_KEY_ID
from api.endpoints import RequestContext, ResponseSpec, Router, json_response, read_idempotency_key
from api.errors import Problem
from api.json_body import body_digest, parse_model
from api.pagination import page_json
from api.schemas_keys import KeyCreate, KeyPage, KeyQuery, KeyWithSecret
from jobs.errors import NoSuchKey
from jobs.ids import is_key_id

router = Router("keys")


@router.endpoint(
    "POST /v1/keys",
    body=KeyCreate,
    scope="admin",
    headers=("Idempotency-Key",),
    responses={201: ResponseSpec("created", KeyWithSecret, headers=("Idempotent-Replayed",))},
    error_statuses=(410, 507),
)
def create_key(context: RequestContext, body: object) -> Response:
    """Create a key. Its secret is in this response and never shown again."""
    idempotency_key = read_idempotency_key()
    payload = parse_model(KeyCreate, body)
    created = context.deps.access_keys.create(
        payload.tenant,
        frozenset(payload.scopes),
        payload.name,
        creator=context.tenant,
        idempotency_key=idempotency_key,
        body_digest=body_digest(body) if idempotency_key else "",
    )
    key_with_secret = KeyWithSecret(**created.info.model_dump(), secret=created.secret)
    is_replayed = created.secret is None
    text = key_with_secret.model_dump_json(exclude={"secret"} if is_replayed else None)
    headers = {"Idempotent-Replayed": "true"} if is_replayed else None
    return json_response(text, 201, headers)


@router.endpoint(
    "GET /v1/keys",
    query=KeyQuery,
    scope="admin",
    responses={200: ResponseSpec("a page of keys", KeyPage)},
)
def list_keys(context: RequestContext, query: KeyQuery) -> Response:
    """List keys, newest first, without the admin key of the service's settings."""
    page = context.deps.access_keys.list_keys(
        query.tenant, limit=query.limit, after=query.after, descending=query.order == "desc"
    )
    return json_response(page_json([key.model_dump_json() for key in page.data], page.next_after))


@router.delete_endpoint("/v1/keys/<key_id>", scope="admin")
def delete_key(context: RequestContext, key_id: str) -> Response:
    """Delete a key. It is invalid from the next request on."""
    if key_id == ADMIN_KEY_ID:
        raise Problem("settings-key", "change TICKFORGE_ADMIN_KEY and start the service again")
    if not is_key_id(key_id):
        raise NoSuchKey(key_id)
    context.deps.access_keys.delete(key_id)
    return Response(status=204)
