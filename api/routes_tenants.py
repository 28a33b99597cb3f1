"""Endpoints of tenants: their quotas and rules of retention, what they use, what was deleted."""

import re

from flask import Response

from api.endpoints import RequestContext, ResponseSpec, Router, json_response, model_response
from api.errors import Problem
from api.json_body import parse_model
from api.pagination import page_json
from api.query import PageQuery
from api.schemas_tenants import TenantEventPage, TenantList, TenantPatch
from jobs.access_keys import TENANT_PATTERN
from jobs.queries.usage import TenantInfo, TenantUsage

router = Router("tenants")
TENANT_PATH = "/v1/tenants/<tenant_name>"


@router.endpoint(
    "GET /v1/tenants", scope="admin", responses={200: ResponseSpec("their names", TenantList)}
)
def list_tenants(context: RequestContext) -> Response:
    """List the tenants that ever had a job, a dataset or settings."""
    names = context.deps.tenants.list_names()
    return model_response(TenantList(data=names))


@router.endpoint(
    f"GET {TENANT_PATH}",
    scope="admin",
    responses={200: ResponseSpec("the tenant", TenantInfo)},
    error_statuses=(404,),
)
def get_tenant(context: RequestContext, tenant_name: str) -> Response:
    """Read a tenant's quotas, rules of retention and usage.

    A tenant is a name that keys have; one that nothing is known of has no settings of its own.
    """
    return model_response(context.deps.tenants.read(_check_name(tenant_name)))


@router.endpoint(
    f"PATCH {TENANT_PATH}",
    body=TenantPatch,
    scope="admin",
    responses={200: ResponseSpec("the tenant", TenantInfo)},
    error_statuses=(404, 507),
)
def patch_tenant(context: RequestContext, tenant_name: str, body: object) -> Response:
    """Set quotas and rules of retention (a JSON merge patch: null removes).

    Without a quota of its own a tenant has the service's. No quota ever stops a running job.
    """
    changes = parse_model(TenantPatch, body).to_changes()
    return model_response(context.deps.tenants.change(_check_name(tenant_name), changes))


@router.endpoint("GET /v1/usage", responses={200: ResponseSpec("the usage", TenantUsage)})
def get_usage(context: RequestContext) -> Response:
    """Read what the key's tenant uses of its quotas, and how long its ended jobs stay."""
    return model_response(context.deps.tenants.read(context.tenant).usage)


@router.endpoint(
    "GET /v1/usage/events",
    query=PageQuery,
    responses={200: ResponseSpec("a page of events", TenantEventPage)},
)
def list_tenant_events(context: RequestContext, query: PageQuery) -> Response:
    """List what the service did to the jobs of the key's tenant by itself.

    A deleted job has no events any more: what retention deleted is told here. The newest 1,000.
    """
    page = context.deps.tenant_events.read_page(
        context.tenant, limit=query.limit, after=query.after, descending=query.order == "desc"
    )
    texts = [event.model_dump_json() for event in page.data]
    return json_response(page_json(texts, page.next_after))


def _check_name(name: str) -> str:
    """Return a tenant's name. Raises Problem (404) where no key could have it."""
    if not re.fullmatch(TENANT_PATTERN, name):
        raise Problem("not-found", "a tenant's name is 1 to 64 of a-z, 0-9, _ and -")
    return name
