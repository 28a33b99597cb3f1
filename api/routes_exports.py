"""Endpoints of exports: a history in the formats of experiment trackers, as the path names them."""

from collections.abc import Iterator, Sequence

from flask import Response

from api.endpoints import RequestContext, ResponseSpec, Router
from api.etag import compute_etag, response_or_304
from api.schemas_exports import EventFileQuery, ExportQuery
from jobs.trackers.event_file import stream_event_file
from jobs.trackers.ranges import select_ticks
from jobs.trackers.tick_blocks import TickRange
from jobs.trackers.wandb_run import run_folder, stream_run

router = Router("history")
EVENT_FILE, TAR = "application/octet-stream", "application/x-tar"
HEADERS = ("ETag", "Content-Disposition", "X-First-Tick", "X-Last-Tick", "X-Complete")
#: fields of a job that an export has, beside its ticks
EXPORTED_FIELDS = {"id", "status", "started_at", "name", "labels", "notes", "elapsed_seconds"}


@router.endpoint(
    "GET /v1/jobs/<job_id>/export/tensorboard",
    query=EventFileQuery,
    produces=(),
    headers=("If-None-Match",),
    responses={200: ResponseSpec("events", media_types=(EVENT_FILE,), headers=HEADERS)},
    error_statuses=(404,),
    is_signable=True,
)
def export_tensorboard(context: RequestContext, job_id: str, query: EventFileQuery) -> Response:
    """Export a history as a TensorBoard event file.

    With `after` only the events of later ticks, without what a file begins with: to append to it.
    """
    ticks = _select_ticks(context, job_id, query, query.after)
    name = f"events.out.tfevents.{int(ticks.created)}.{job_id}"
    pieces = stream_event_file(ticks, has_beginning=query.after == 0)
    return _export(ticks, query, name, EVENT_FILE, pieces)


@router.endpoint(
    "GET /v1/jobs/<job_id>/export/wandb",
    query=ExportQuery,
    produces=(),
    headers=("If-None-Match",),
    responses={200: ResponseSpec("the folder of a run", media_types=(TAR,), headers=HEADERS)},
    error_statuses=(404, 422),
    is_signable=True,
)
def export_wandb(context: RequestContext, job_id: str, query: ExportQuery) -> Response:
    """Export a history as an offline run of Weights & Biases, which `wandb sync` uploads."""
    ticks = _select_ticks(context, job_id, query)
    return _export(ticks, query, f"{run_folder(ticks)}.tar", TAR, stream_run(ticks))


def _select_ticks(
    context: RequestContext, job_id: str, query: ExportQuery, after: int = 0
) -> TickRange:
    job = context.deps.job_queries.get_job(context.tenant, job_id)
    columns: Sequence[str] | None = None if query.columns is None else query.columns.split(",")
    return select_ticks(
        context.deps.history, job.for_history(lineage=query.lineage), columns, after
    )


def _export(
    ticks: TickRange, query: ExportQuery, name: str, media_type: str, pieces: Iterator[bytes]
) -> Response:
    """Stream an export. Its ETag is weak, of what the bytes are made from: see a history's."""

    def make_response() -> Response:
        response = Response(pieces, content_type=media_type)
        response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
        return response

    made_from = ticks.job.model_dump_json(include=EXPORTED_FIELDS), query.model_dump_json()
    etag = compute_etag(media_type, *made_from, f"{ticks.first} {ticks.last} {ticks.is_complete}")
    response = response_or_304(etag, make_response, weak=True)
    response.headers["X-First-Tick"] = f"{ticks.first}"
    response.headers["X-Last-Tick"] = f"{ticks.last}"
    response.headers["X-Complete"] = "true" if ticks.is_complete else "false"
    return response
