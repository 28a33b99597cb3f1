"""Endpoint of a job's log: its end while the job runs, all of it afterwards."""

import os
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO

from flask import Response

from api.checked_files import read_range
from api.endpoints import RequestContext, ResponseSpec, Router
from api.errors import Problem
from api.etag import compute_etag, etag_matches, response_or_304
from api.long_polling import UNREACHABLE_TICK
from api.schemas_events import LogsQuery
from jobs.files.artifacts import UnsafePath

router = Router("logs")
TEXT = "text/plain"
#: at most, of a running job's log
MAX_RUNNING_LOG_BYTES = 1 << 20
MAX_LINE_BYTES = 1 << 16  # searched for the end of a line
POLL_SECONDS = 1.0  # a growing file sends no notice


@dataclass(frozen=True)
class LogRange:
    """The bytes of a log to send: `start` to `stop` (exclusive) of the file with this inode."""

    start: int
    stop: int
    inode: int
    is_complete: bool

    @property
    def etag(self) -> str:
        """A log only grows, so the range identifies its bytes."""
        return compute_etag(f"{self.inode} {self.start} {self.stop} {self.is_complete}")


@router.endpoint(
    "GET /v1/jobs/<job_id>/logs",
    query=LogsQuery,
    produces=(TEXT,),
    headers=("If-None-Match",),
    responses={
        200: ResponseSpec(
            "the log's text",
            media_types=(TEXT,),
            headers=("ETag", "Retry-After", "X-First-Byte", "X-Next-After", "X-Complete"),
        )
    },
    error_statuses=(404,),
)
def get_logs(context: RequestContext, job_id: str, query: LogsQuery) -> Response:
    """Read the log that a job's workers wrote; at most the last 1 MiB while it runs."""

    def is_done(log_range: LogRange, _waited_seconds: float) -> bool:
        has_new = log_range.start < log_range.stop and not etag_matches(log_range.etag)
        return has_new or log_range.is_complete

    name, fetch = (context.tenant, job_id), partial(_find_range, context, job_id, query.after)
    result = context.deps.long_poller.wait_for(
        name, query.wait, fetch, is_done, min_tick=UNREACHABLE_TICK, interval=POLL_SECONDS
    )
    make_response = partial(_log_response, context, job_id, result.value)
    return result.add_retry_after(response_or_304(result.value.etag, make_response))


def _find_range(context: RequestContext, job_id: str, after: int) -> LogRange:
    # before the file is read, so that the log of an ended job is complete
    is_complete = context.deps.events.read_since(context.tenant, job_id).is_terminal
    file = _open_log(context, job_id)
    if file is None:
        return LogRange(0, 0, 0, is_complete)
    with file:
        status = os.fstat(file.fileno())
        size, start = status.st_size, min(after, status.st_size)
        if not is_complete and size - start > MAX_RUNNING_LOG_BYTES:
            start = _find_next_line(file, size - MAX_RUNNING_LOG_BYTES)
    return LogRange(start, size, status.st_ino, is_complete)


def _log_response(context: RequestContext, job_id: str, log_range: LogRange) -> Response:
    file = _open_log(context, job_id) if log_range.start < log_range.stop else None
    pieces = b"" if file is None else read_range(file, log_range.start, log_range.stop)
    response = Response(pieces, mimetype=TEXT)
    if file is not None:
        response.call_on_close(file.close)
    response.content_length = log_range.stop - log_range.start
    response.headers["X-First-Byte"] = str(log_range.start)
    response.headers["X-Next-After"] = str(log_range.stop)
    response.headers["X-Complete"] = "true" if log_range.is_complete else "false"
    return response


def _open_log(context: RequestContext, job_id: str) -> BinaryIO | None:
    """Open the log without following links; None if there is none yet."""
    files = context.deps.artifacts
    try:
        return files.open(files.job_folder(context.tenant, job_id) / "log.txt")
    except FileNotFoundError:
        return None
    except UnsafePath:
        raise Problem("damaged", "the log is not a plain file") from None


def _find_next_line(file: BinaryIO, start: int) -> int:
    """Return the offset of the first line after `start`; `start` itself if no line ends there."""
    file.seek(start)
    return start + file.read(MAX_LINE_BYTES).find(b"\n") + 1
