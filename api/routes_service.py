"""Endpoints of the service: health, readiness, version, metrics, models, workers, document."""

from functools import cache

from flask import Response, request

from api import version
from api.endpoints import RequestContext, ResponseSpec, Router, json_response, model_response
from api.errors import STORE_UNAVAILABLE_RETRY_AFTER, Problem
from api.etag import JSON, json_with_etag
from api.json_body import MAX_BODY_BYTES
from api.metrics import METRICS_MEDIA_TYPE
from api.query import MAX_PAGE_ITEMS
from api.schemas import MAX_PAGE_TICKS, FamilyPage, Health, Version, WorkerPage
from jobs.queries import worker_registry
from jobs.queries.counts import ServiceCounts, count_all
from jobs.spec.family_schemas import describe_families
from jobs.store.connection import UNAVAILABLE

router = Router("about")


@router.endpoint(
    "GET /healthz", scope=None, produces=(), responses={200: ResponseSpec("alive", Health)}
)
def get_health(context: RequestContext) -> Response:
    """Report that this process is alive; checks nothing else."""
    return model_response(Health(status="ok"))


@router.endpoint(
    "GET /readyz",
    scope=None,
    produces=(),
    responses={200: ResponseSpec("ready", Health)},
    error_statuses=(503,),
)
def get_readiness(context: RequestContext) -> Response:
    """Report whether the store answers, and if not, why."""
    try:
        context.deps.store.ping()
    except UNAVAILABLE as error:
        is_loading = "loading" in str(error).lower()
        reason = "loading" if is_loading else "away"
        detail = "the store still loads its file" if is_loading else "the store does not answer"
        raise Problem(
            "store-away",
            detail,
            headers={"Retry-After": STORE_UNAVAILABLE_RETRY_AFTER},
            reason=reason,
        ) from None
    return model_response(Health(status="ready"))


@router.endpoint("GET /v1/models", responses={200: ResponseSpec("all families", FamilyPage)})
def list_models(context: RequestContext) -> Response:
    """List the model families, each with the schema of its config."""
    return json_response(_families_json())


@router.endpoint("GET /v1/workers", responses={200: ResponseSpec("live workers", WorkerPage)})
def list_workers(context: RequestContext) -> Response:
    """List the live workers. The jobs of other tenants are not named."""
    workers = worker_registry.live_workers(context.deps.store)
    return model_response(
        WorkerPage(
            data=[worker_registry.redact_for(context.visible_tenant, worker) for worker in workers]
        )
    )


@router.endpoint("GET /v1/version", responses={200: ResponseSpec("versions and limits", Version)})
def get_version(context: RequestContext) -> Response:
    """Read the versions of this service, and its limits."""
    workers = worker_registry.live_workers(context.deps.store)
    return model_response(
        Version(
            service=version.SERVICE,
            contract=version.CONTRACT,
            families=[item.family for item in describe_families()],
            engines=sorted({name for item in workers for name in item.get("engines", [])}),
            torch=sorted({item["versions"]["torch"] for item in workers if _has_torch(item)}),
            limits={
                "body_bytes": MAX_BODY_BYTES,
                "dataset_bytes": context.deps.settings.max_dataset_bytes,
                "page_items": MAX_PAGE_ITEMS,
                "page_ticks": MAX_PAGE_TICKS,
                "parameters": context.deps.settings.max_parameters,
            },
        )
    )


def _has_torch(worker: worker_registry.WorkerInfo) -> bool:
    return "torch" in (worker.get("versions") or {})


@router.endpoint(
    "GET /openapi.json",
    scope=None,
    produces=(),
    responses={200: ResponseSpec("the document", media_types=(JSON,))},
)
def get_openapi(context: RequestContext) -> Response:
    """Read this document."""
    return json_with_etag(request, context.deps.openapi_json())


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
    return Response(
        context.deps.metrics.render(_read_counts(context)), content_type=METRICS_MEDIA_TYPE
    )


def _read_counts(context: RequestContext) -> ServiceCounts | None:
    try:
        return count_all(context.deps.store, context.visible_tenant)
    except UNAVAILABLE:
        return None
