"""Endpoints of the service: health, readiness, version, metrics, models, workers, document."""

import contextlib
from functools import cache, partial

from flask import Response

from api import version
from api.endpoints import RequestContext, ResponseSpec, Router, json_response, model_response
from api.errors import STORE_UNAVAILABLE_RETRY_AFTER, Problem
from api.etag import JSON, json_with_etag
from api.json_body import MAX_BODY_BYTES
from api.metrics import METRICS_MEDIA_TYPE
from api.query import MAX_PAGE_ITEMS
from api.schemas import MAX_PAGE_TICKS, FamilyPage, Health, Version, WorkerPage
from jobs.errors import DiskUnavailable, StoreFull
from jobs.queries import worker_registry
from jobs.queries.counts import count_all
from jobs.spec.family_schemas import describe_families
from jobs.store.connection import UNAVAILABLE

#: seconds; a restart is over in less
STOPPING_RETRY_AFTER = "2"

router = Router("about")
public_endpoint = partial(router.endpoint, scope=None, produces=())


@public_endpoint("GET /healthz", responses={200: ResponseSpec("alive", Health)})
def get_health(context: RequestContext) -> Response:
    """Report that this process is alive; checks nothing else."""
    return model_response(Health(status="ok"))


@public_endpoint(
    "GET /readyz", responses={200: ResponseSpec("ready", Health)}, error_statuses=(503,)
)
def get_readiness(context: RequestContext) -> Response:
    """Report whether this process takes requests, the store answers and the disk takes records."""
    if context.deps.long_poller.notice_listener.is_closing:
        detail = "this process is shutting down; another one answers soon"
        raise Problem("stopping", detail, headers={"Retry-After": STOPPING_RETRY_AFTER})
    try:
        context.deps.store.ping()
    except UNAVAILABLE as error:
        reason, detail = "away", "the store does not answer"
        if "loading" in str(error).lower():
            reason, detail = "loading", "the store still loads its file"
        headers = {"Retry-After": STORE_UNAVAILABLE_RETRY_AFTER}
        raise Problem("store-away", detail, headers=headers, reason=reason) from None
    try:
        context.deps.jobs.check_disk()
    except (StoreFull, DiskUnavailable) as error:
        headers = {"Retry-After": STORE_UNAVAILABLE_RETRY_AFTER}
        reason = "full" if isinstance(error, StoreFull) else "refused"
        raise Problem("disk-away", str(error), headers=headers, reason=f"disk-{reason}") from None
    return model_response(Health(status="ready"))


@router.endpoint("GET /v1/models", responses={200: ResponseSpec("all families", FamilyPage)})
def list_models(context: RequestContext) -> Response:
    """List the model families, each with the schema of its config."""
    return json_response(_families_json())


@router.endpoint("GET /v1/workers", responses={200: ResponseSpec("live workers", WorkerPage)})
def list_workers(context: RequestContext) -> Response:
    """List the live workers. The jobs of other tenants are not named."""
    workers, tenant = worker_registry.live_workers(context.deps.store), context.visible_tenant
    visible = [worker_registry.redact_for(tenant, worker) for worker in workers]
    return model_response(WorkerPage(data=visible))


@router.endpoint("GET /v1/version", responses={200: ResponseSpec("versions and limits", Version)})
def get_version(context: RequestContext) -> Response:
    """Read the versions of this service, and its limits."""
    workers = worker_registry.live_workers(context.deps.store)
    versions = [item.get("versions") or {} for item in workers]
    return model_response(
        Version(
            service=version.SERVICE,
            contract=version.CONTRACT,
            families=[item.family for item in describe_families()],
            engines=sorted({name for item in workers for name in item.get("engines", [])}),
            torch=sorted({item["torch"] for item in versions if "torch" in item}),
            exports=sorted({name for item in workers for name in item.get("exports", [])}),
            limits={
                "body_bytes": MAX_BODY_BYTES,
                "dataset_bytes": context.deps.settings.max_dataset_bytes,
                "page_items": MAX_PAGE_ITEMS,
                "page_ticks": MAX_PAGE_TICKS,
                "parameters": context.deps.settings.max_parameters,
                "result_bytes": context.deps.settings.max_result_bytes,
            },
        )
    )


@public_endpoint(
    "GET /openapi.json", responses={200: ResponseSpec("the document", media_types=(JSON,))}
)
def get_openapi(context: RequestContext) -> Response:
    """Read this document."""
    return json_with_etag(context.deps.openapi_json())


@cache
def _families_json() -> str:
    return FamilyPage(data=describe_families()).model_dump_json()


@router.endpoint(
    "GET /metrics",
    produces=(),
    responses={200: ResponseSpec("Prometheus text", media_types=("text/plain",))},
)
def get_metrics(context: RequestContext) -> Response:
    """Read Prometheus metrics. Jobs are counted for the caller's tenant; for an admin, for all."""
    counts = None
    with contextlib.suppress(*UNAVAILABLE):
        counts = count_all(context.deps.store, context.visible_tenant)
    return Response(context.deps.metrics.render(counts), content_type=METRICS_MEDIA_TYPE)
