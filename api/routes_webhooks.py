"""Endpoints of webhooks and of their deliveries."""

import json

from flask import Response

from api.endpoints import (
    RequestContext,
    ResponseSpec,
    Router,
    json_response,
    model_response,
    read_idempotency_key,
)
from api.errors import Problem, validation_problem
from api.json_body import body_digest, parse_model
from api.pagination import page_json
from api.schemas_webhooks import (
    DeliveryPage,
    WebhookCreate,
    WebhookPage,
    WebhookPatch,
    WebhookQuery,
    WebhookWithSecret,
)
from jobs.errors import NoSuchWebhook
from jobs.spec.base import FieldError
from jobs.webhooks.delivery import DeliveryInfo
from jobs.webhooks.service import DEFAULT, NewWebhook, WebhookResult
from jobs.webhooks.webhook import WebhookInfo

router = Router("webhooks")
WEBHOOK_PATH = "/v1/webhooks/<webhook_id>"
WITH_SECRET = ResponseSpec("the webhook", WebhookWithSecret)
#: of the tenant's own webhook: it has no address, and is for jobs that name one
FIXED_IN_DEFAULT = ("url", "labels")


@router.endpoint(
    "POST /v1/webhooks",
    body=WebhookCreate,
    scope="submit",
    headers=("Idempotency-Key",),
    responses={201: ResponseSpec("created", WebhookWithSecret, headers=("Idempotent-Replayed",))},
    error_statuses=(410, 507),
)
def create_webhook(context: RequestContext, body: object) -> Response:
    """Create a webhook. Its secret is in this response and never shown again."""
    idempotency_key = read_idempotency_key()
    payload = parse_model(WebhookCreate, body)
    _check_address(context, payload.url)
    created = context.deps.webhooks.create(
        context.tenant,
        NewWebhook(payload.url, list(payload.events), payload.labels, payload.name, payload.format),
        idempotency_key=idempotency_key,
        body_digest=body_digest(body) if idempotency_key else "",
    )
    headers = {"Idempotent-Replayed": "true"} if created.secret is None else None
    return json_response(_result_json(created), 201, headers)


@router.endpoint(
    "GET /v1/webhooks",
    query=WebhookQuery,
    responses={200: ResponseSpec("a page of webhooks", WebhookPage)},
)
def list_webhooks(context: RequestContext, query: WebhookQuery) -> Response:
    """List webhooks, newest first, the tenant's own one among them once it has been read."""
    page = context.deps.webhooks.read_page(
        context.tenant, limit=query.limit, after=query.after, descending=query.order == "desc"
    )
    return json_response(page_json([item.model_dump_json() for item in page.data], page.next_after))


@router.endpoint(f"GET {WEBHOOK_PATH}", responses={200: WITH_SECRET}, error_statuses=(404, 507))
def get_webhook(context: RequestContext, webhook_id: str) -> Response:
    """Read a webhook; `default` is the tenant's own, which signs what addresses in `notify` get.

    That one is made when it is first needed or read. If reading made it, and the key has the scope
    `submit`, its secret is in the response; else PATCH {"rotate": true} gives one.
    """
    if webhook_id == DEFAULT:
        read = context.deps.webhooks.get_default(context.tenant)
        may_see = context.key is not None and context.key.allows("submit")
        return json_response(_result_json(read if may_see else WebhookResult(read.info, None)))
    return json_response(_result_json(WebhookResult(_read(context, webhook_id), None)))


@router.endpoint(
    f"PATCH {WEBHOOK_PATH}",
    body=WebhookPatch,
    scope="submit",
    responses={200: WITH_SECRET},
    error_statuses=(404, 507),
)
def patch_webhook(context: RequestContext, webhook_id: str, body: object) -> Response:
    """Change a webhook, enable it again, or make it a new secret (`rotate`)."""
    payload = parse_model(WebhookPatch, body)
    own = context.deps.webhooks.get_default(context.tenant) if webhook_id == DEFAULT else None
    webhook = own.info if own else _read(context, webhook_id)
    if "url" in payload.model_fields_set:
        _check_address(context, payload.url)
    changes = payload.model_dump(exclude_unset=True, exclude={"enabled", "rotate"})
    fixed = [name for name in FIXED_IN_DEFAULT if name in changes and webhook.url is None]
    if fixed:
        rule = "stays empty: the tenant's own webhook is for jobs that name an address"
        errors = [FieldError(f"/{name}", rule, changes[name]) for name in fixed]
        raise validation_problem("invalid-body", errors)
    texts = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in changes.items()
    }
    changed = context.deps.webhooks.change(
        context.tenant, webhook.id, texts,
        enabled=payload.enabled, rotate=payload.rotate,
    )  # fmt: skip
    secret = changed.secret or (own.secret if own else None)  # of one that this request made
    return json_response(_result_json(WebhookResult(changed.info, secret)))


@router.delete_endpoint(WEBHOOK_PATH)
def delete_webhook(context: RequestContext, webhook_id: str) -> Response:
    """Delete a webhook with its deliveries: what waits is not sent."""
    own_id = context.deps.webhooks.find_default_id(context.tenant)
    if webhook_id == own_id or webhook_id == DEFAULT and own_id is not None:
        raise Problem(
            "own-webhook", "jobs may name addresses that it signs for; disable it instead"
        )
    context.deps.webhooks.delete(context.tenant, webhook_id)
    return Response(status=204)


@router.endpoint(
    f"GET {WEBHOOK_PATH}/deliveries",
    query=WebhookQuery,
    responses={200: ResponseSpec("a page of deliveries", DeliveryPage)},
    error_statuses=(404,),
)
def list_deliveries(context: RequestContext, webhook_id: str, query: WebhookQuery) -> Response:
    """List deliveries, newest first; ended ones for three days, and the newest 1,000."""
    page = context.deps.deliveries.read_page(
        context.tenant, _read(context, webhook_id).id,
        limit=query.limit, after=query.after, descending=query.order == "desc",
    )  # fmt: skip
    return json_response(page_json(page.data, page.next_after))


@router.endpoint(
    f"POST {WEBHOOK_PATH}/test",
    scope="submit",
    responses={202: ResponseSpec("a delivery that is to be sent", DeliveryInfo)},
    error_statuses=(404, 409, 507),
)
def send_test_delivery(context: RequestContext, webhook_id: str) -> Response:
    """Have a message of type `webhook.test` sent, once; also to a webhook that is disabled."""
    webhook = _read(context, webhook_id)
    if webhook.url is None:
        raise Problem("own-webhook", "it is sent to the addresses that jobs name")
    return model_response(context.deps.deliveries.send_test(context.tenant, webhook), 202)


@router.endpoint(
    f"POST {WEBHOOK_PATH}/deliveries/<message_id>/redeliver",
    scope="submit",
    responses={202: ResponseSpec("the delivery, which is to be sent", DeliveryInfo)},
    error_statuses=(404, 409, 507),
)
def redeliver(context: RequestContext, webhook_id: str, message_id: str) -> Response:
    """Have a message sent again with the same id and body.

    If it waits, it is sent at once, after the earlier messages of its job.
    """
    webhook = _read(context, webhook_id)
    delivery = context.deps.deliveries.redeliver(context.tenant, webhook.id, message_id)
    return model_response(delivery, 202)


def _read(context: RequestContext, webhook_id: str) -> WebhookInfo:
    """Read the webhook of an id, or the tenant's own if it has been made."""
    own = context.deps.webhooks.find_default_id(context.tenant) if webhook_id == DEFAULT else None
    if webhook_id == DEFAULT and own is None:
        raise NoSuchWebhook("GET /v1/webhooks/default makes it")
    return context.deps.webhooks.get(context.tenant, own or webhook_id)


def _check_address(context: RequestContext, url: str) -> None:
    """Raise Problem (422) for an address that may not be called, as far as it is known now."""
    try:
        context.deps.address_rules.check_url(url)
    except ValueError as error:
        raise validation_problem("invalid-body", [FieldError("/url", str(error), url)]) from None


def _result_json(result: WebhookResult) -> str:
    shown = WebhookWithSecret(**result.info.model_dump(), secret=result.secret)
    return shown.model_dump_json(exclude={"secret"} if result.secret is None else None)
