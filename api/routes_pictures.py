"""Endpoints of pictures: a job's curve as SVG, PNG and text. The suffix names the form."""

from collections.abc import Callable

from flask import Response

from api.endpoints import RequestContext, ResponseSpec, Router, View
from api.etag import compute_etag, response_or_304
from api.held_requests import hold_place_for_work
from api.schemas_pictures import CurveQuery, PictureQuery, TextPictureQuery
from jobs.history.selection import sparse_names
from jobs.pictures.curve import columns_to_draw, make_curve
from jobs.pictures.render import Form, default_points, render
from jobs.pictures.svg import CONTENT_SECURITY_POLICY

router = Router("pictures")
CURVE_PATH = "/v1/jobs/<job_id>/curve"
MEDIA_TYPES: dict[Form, str] = {
    "svg": "image/svg+xml",
    "png": "image/png",
    "txt": "text/plain; charset=utf-8",
}


def _curve_endpoint(form: Form, query: type[CurveQuery]) -> Callable[[View], View]:
    """Register a view for the pictures of one form."""
    media_type = MEDIA_TYPES[form].partition(";")[0]
    return router.endpoint(
        f"GET {CURVE_PATH}.{form}",
        query=query,
        produces=(),
        headers=("If-None-Match",),
        responses={200: ResponseSpec("the picture", media_types=(media_type,), headers=("ETag",))},
        error_statuses=(404,),
        is_signable=True,
    )


@_curve_endpoint("svg", PictureQuery)
def get_curve_svg(context: RequestContext, job_id: str, query: PictureQuery) -> Response:
    """Draw a job's curve as SVG: columns with their extremes, validation, the best."""
    response = _picture(context, job_id, "svg", query, query.width, query.height)
    response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    return response


@_curve_endpoint("png", PictureQuery)
def get_curve_png(context: RequestContext, job_id: str, query: PictureQuery) -> Response:
    """Draw a job's curve as PNG, on a light background; from 1200 × 600 on in double size."""
    return _picture(context, job_id, "png", query, query.width, query.height)


@_curve_endpoint("txt", TextPictureQuery)
def get_curve_text(context: RequestContext, job_id: str, query: TextPictureQuery) -> Response:
    """Draw a job's curve as text, in braille dots: what a terminal shows."""
    return _picture(context, job_id, "txt", query, query.width, query.height)


def _picture(
    context: RequestContext, job_id: str, form: Form, query: CurveQuery, width: int, height: int
) -> Response:
    """Draw what is recorded up to the job's tick now. The ETag is of the bytes."""
    job = context.deps.job_queries.get_job(context.tenant, job_id)
    line = job.for_history(lineage=query.lineage)
    columns = columns_to_draw(query.columns.split(","), sparse_names(job.spec))
    points = query.points or default_points(form, width)
    with hold_place_for_work():
        series = context.deps.history.read_series(line, columns, points=points)
        data = render(make_curve(job, series), form, width, height, query.log)
    etag = compute_etag(data)
    return response_or_304(etag, lambda: Response(data, content_type=MEDIA_TYPES[form]))
