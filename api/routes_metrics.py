"""/metrics: how the service does, as Prometheus reads it."""

from flask import Response

from api.endpoints import RequestContext, ResponseSpec, Router
from api.metrics import METRICS_MEDIA_TYPE
from jobs.queries.counts import ServiceCounts, count_all
from jobs.store.connection import UNAVAILABLE

router = Router("about")


@router.endpoint(
    "GET /metrics",
    produces=(),
    responses={200: ResponseSpec("Prometheus text", media_types=("text/plain",))},
)
def get_metrics(context: RequestContext) -> Response:
    """Read the metrics; jobs are the caller's tenant's, an admin's are everybody's."""
    return Response(
        context.deps.metrics.render(_read_counts(context)), content_type=METRICS_MEDIA_TYPE
    )


def _read_counts(context: RequestContext) -> ServiceCounts | None:
    try:
        return count_all(context.deps.store, context.visible_tenant)
    except UNAVAILABLE:
        return None
