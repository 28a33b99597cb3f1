"""/metrics: how the service does, as Prometheus reads it."""

from flask import Response

from api.metrics import MEDIA_TYPE
from api.registrar import Answer, Call, Endpoints
from jobs.census import ServiceCounts, count_all
from jobs.store import UNAVAILABLE

endpoint = Endpoints("about")


@endpoint(
    "GET /metrics", offers=(), answers={200: Answer("Prometheus text", media=("text/plain",))}
)
def get_metrics(call: Call) -> Response:
    """Read the metrics; jobs are the caller's tenant's, an admin's are everybody's."""
    return Response(call.service.metrics.text(_census(call)), content_type=MEDIA_TYPE)


def _census(call: Call) -> ServiceCounts | None:
    try:
        return count_all(call.service.store, call.watched)
    except UNAVAILABLE:
        return None
