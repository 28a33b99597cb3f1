"""A job's log over HTTP: the end of it while the job runs, the whole when it has ended."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from flask import Response, request

from api.errors import Problem
from api.etag import known, mark, not_modified, tag_of
from api.registrar import Answer, Call, Endpoints
from api.schemas_waits import LogsQuery
from api.waiting import NEVER
from jobs.files import UnsafePath

endpoint = Endpoints("logs")
TEXT = "text/plain"
#: bytes that are shown of a running job's log when more is asked for
NEWEST = 1 << 20
PIECE = 1 << 16
RELOOK = 1.0  # seconds: a file that grows gives no notice


@dataclass(frozen=True)
class Part:
    """Which bytes of a log are due: start…stop-1 of the file with this number."""

    start: int
    stop: int
    file: int
    complete: bool

    @property
    def tag(self) -> str:
        """A log only grows: its bytes are known by where they stand."""
        return tag_of(f"{self.file} {self.start} {self.stop} {self.complete}")


@endpoint(
    "GET /v1/jobs/<job_id>/logs",
    query=LogsQuery,
    offers=(TEXT,),
    headers=("If-None-Match",),
    answers={
        200: Answer(
            "the log's text",
            media=(TEXT,),
            headers=("ETag", "Retry-After", "X-First-Byte", "X-Next-After", "X-Complete"),
        ),
        304: Answer("not modified"),
    },
    refusals=(404,),
)
def get_logs(call: Call, job_id: str, query: LogsQuery) -> Response:
    """Read what a job's workers said about it; of a running job the last 1 MiB at most."""

    def look() -> Part:
        return _part(call, job_id, query.after)

    def ends(part: Part, _waited: float) -> bool:
        new = part.start < part.stop and not known(request, part.tag)
        return new or part.complete

    held = call.service.waiting.hold(
        (call.tenant, job_id), query.wait, look, ends, least=NEVER, relook=RELOOK
    )
    return held.mark(_answer(call, job_id, held.value))


def _part(call: Call, job_id: str, after: int) -> Part:
    # in this order: what an ended job's log holds after this was there when it ended
    complete = call.service.events.read_since(call.tenant, job_id).is_terminal
    file = _open(call, job_id)
    if file is None:
        return Part(0, 0, 0, complete)
    with file:
        about = os.fstat(file.fileno())
        size, start = about.st_size, min(after, about.st_size)
        if not complete and size - start > NEWEST:
            start = _next_line(file, size - NEWEST)
    return Part(start, size, about.st_ino, complete)


def _answer(call: Call, job_id: str, part: Part) -> Response:
    if known(request, part.tag):
        return not_modified(part.tag)
    file = _open(call, job_id) if part.start < part.stop else None
    response = Response(b"" if file is None else _pieces(file, part), mimetype=TEXT)
    if file is not None:
        response.call_on_close(file.close)
    response.content_length = part.stop - part.start
    response.headers["X-First-Byte"] = str(part.start)
    response.headers["X-Next-After"] = str(part.stop)
    response.headers["X-Complete"] = "true" if part.complete else "false"
    return mark(response, part.tag)


def _open(call: Call, job_id: str) -> BinaryIO | None:
    """Open the log, through no link; None where nothing was said yet."""
    files = call.service.files
    try:
        return files.open(files.job_folder(call.tenant, job_id) / "log.txt")
    except FileNotFoundError:
        return None
    except UnsafePath:
        raise Problem("damaged", "the log is not a plain file") from None


def _next_line(file: BinaryIO, start: int) -> int:
    """Where the first line after `start` begins (or, in one endless line, `start`)."""
    file.seek(start)
    found = file.read(PIECE).find(b"\n")
    return start + found + 1


def _pieces(file: BinaryIO, part: Part) -> Iterator[bytes]:
    file.seek(part.start)
    left = part.stop - part.start
    while left > 0 and (piece := file.read(min(PIECE, left))):
        left -= len(piece)
        yield piece
