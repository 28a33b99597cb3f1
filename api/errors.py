"""Every refusal as a problem body (RFC 9457): the one table from exception to status and type.

Knows no route. What is not in the table is a 500 that tells nothing and is logged.
"""

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

from flask import Response
from gunicorn.http.errors import ParseException  # type: ignore[import-untyped]
from werkzeug.exceptions import HTTPException

from jobs import errors
from jobs.checkpoints import DamagedCheckpoint, NoSuchFile
from jobs.datasets.formats.faults import BadData, DataError
from jobs.datasets.upload import UploadTooLarge
from jobs.files import UnsafePath
from jobs.history.errors import DamagedHistory, UnknownColumn, UnsupportedColumn
from jobs.spec.faults import InvalidSpec
from jobs.spec.rules import FieldError
from jobs.store import UNAVAILABLE, OutOfMemory

MEDIA_TYPE = "application/problem+json"
URN = "urn:tickforge:problem:"
LONGEST_VALUE = 200  # characters of a wrong value that are shown again
MOST_FAULTS = 100  # that one answer lists
AWAY_SECONDS = "2"
FULL_SECONDS = "10"  # a queue does not empty in a moment

#: slug -> status, title
KINDS: dict[str, tuple[int, str]] = {
    "bad-request": (400, "The request cannot be understood"),
    "malformed-json": (400, "The body is not JSON"),
    "invalid-parameter": (400, "A query parameter or header cannot be used"),
    "unauthorized": (401, "A valid key is needed"),
    "missing-scope": (403, "The key does not allow this"),
    "not-found": (404, "There is no such thing"),
    "no-such-dataset": (404, "There is no such dataset"),
    "no-such-job": (404, "There is no such job"),
    "no-such-key": (404, "There is no such key"),
    "no-such-checkpoint": (404, "There is no such checkpoint"),
    "no-such-file": (404, "The checkpoint has no such file"),
    "method-not-allowed": (405, "This path does not take that method"),
    "not-acceptable": (406, "There is no such form of this"),
    "dataset-in-use": (409, "Live jobs use this dataset"),
    "data-gone": (409, "The job's data have been deleted"),
    "last-checkpoint": (409, "The job could go on from no other checkpoint"),
    "in-work": (409, "The first request with this idempotency key is still in work"),
    "illegal-move": (409, "The job's status does not allow this"),
    "settings-key": (409, "This key comes from the service's settings"),
    "gone": (410, "What this idempotency key made has been deleted"),
    "too-large": (413, "The body is too large"),
    "unsupported-media-type": (415, "The body is not in a form that is read"),
    "range-not-satisfiable": (416, "The file has no such range"),
    "invalid-spec": (422, "The spec breaks its rules"),
    "invalid-data": (422, "The data cannot be used as they are"),
    "invalid-body": (422, "The body breaks its rules"),
    "idempotency-mismatch": (422, "The idempotency key was used with another body"),
    "rate-limited": (429, "Too many requests with this key"),
    "queue-full": (429, "Too many jobs of this tenant are queued"),
    "internal": (500, "Something went wrong here"),
    "damaged": (500, "A stored file is damaged"),
    "crowded": (503, "There is no place for another stream"),
    "newer-record": (503, "A newer version of the service wrote this"),
    "store-away": (503, "The store does not answer"),
    "storage-full": (507, "The store is full"),
}


class Problem(Exception):
    """A refusal: its kind, a sentence, the faults that were found, and members of its own."""

    def __init__(
        self,
        slug: str,
        detail: str,
        *,
        faults: Sequence[dict[str, Any]] = (),
        headers: dict[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(detail)
        self.status, self.title = KINDS[slug]
        self.slug, self.detail = slug, detail
        self.faults, self.headers, self.more = list(faults), headers or {}, more

    @property
    def body(self) -> dict[str, Any]:
        """What the client reads."""
        told: dict[str, Any] = {
            "type": URN + self.slug,
            "title": self.title,
            "status": self.status,
            "detail": _cut(self.detail, 2 * LONGEST_VALUE),
            **self.more,
        }
        if self.faults:
            told["errors"] = self.faults
        return told

    def response(self) -> Response:
        """Return the answer."""
        text = json.dumps(self.body, allow_nan=False)
        return Response(text, self.status, headers=self.headers, content_type=MEDIA_TYPE)


def fault(where: str, name: str, detail: str, *value: Any) -> dict[str, Any]:
    """Describe one wrong thing: `where` is pointer, parameter or header; the value if there is."""
    told = {where: name, "detail": _cut(detail, 2 * LONGEST_VALUE)}
    return {**told, "value": shown(value[0])} if value else told


def bad_parameter(name: str, detail: str, *value: Any) -> Problem:
    """Refuse one query parameter."""
    return Problem(
        "invalid-parameter", f"{name}: {detail}", faults=[fault("parameter", name, detail, *value)]
    )


def bad_header(slug: str, name: str, detail: str, *value: Any) -> Problem:
    """Refuse a header."""
    return Problem(slug, f"{name}: {detail}", faults=[fault("header", name, detail, *value)])


def invalid(slug: str, faults: Sequence[FieldError]) -> Problem:
    """Refuse a body for all its faults."""
    listed = [_of_body(each) for each in faults[:MOST_FAULTS]]
    first = f"{faults[0].pointer or 'the body'}: {faults[0].detail}"
    detail = first if len(faults) == 1 else f"{first}; {len(faults)} faults in all"
    left_out = len(faults) - len(listed)
    more: dict[str, Any] = {"errors_left_out": left_out} if left_out else {}
    return Problem(slug, detail, faults=listed, **more)


def invalid_data(faults: Sequence[DataError]) -> Problem:
    """Refuse a dataset, with what is wrong by row and column."""
    listed = [_of_data(each) for each in faults[:MOST_FAULTS]]
    first = ", ".join(f"{at} {listed[0][at]}" for at in ("row", "column") if at in listed[0])
    detail = f"{first or 'the data'}: {faults[0].detail}"
    return Problem("invalid-data", detail, faults=listed)


def shown(value: Any) -> Any:
    """Return a wrong value as JSON can say it, cut if it is long."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 2**63:
        value = str(value)
    try:
        text = json.dumps(value, allow_nan=False)
    except (ValueError, TypeError, RecursionError):
        return _cut(repr(value), LONGEST_VALUE)  # NaN, and what is no JSON at all
    if len(text) <= LONGEST_VALUE:
        return value
    return _cut(value if isinstance(value, str) else text, LONGEST_VALUE)


def problem_of(error: BaseException) -> Problem | None:
    """Look an exception up; None for what nobody foresaw."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, HTTPException):
        return _http(error)
    if isinstance(error, UNAVAILABLE):
        detail = "try again; a POST with an Idempotency-Key can be repeated safely"
        return Problem("store-away", detail, headers={"Retry-After": AWAY_SECONDS})
    return next((make(error) for kind, make in TABLE if isinstance(error, kind)), None)


def _of_data(each: DataError) -> dict[str, Any]:
    told = {name: getattr(each, name) for name in ("row", "column", "value")}
    found = {name: shown(value) for name, value in told.items() if value is not None}
    return {**found, "detail": _cut(each.detail, 2 * LONGEST_VALUE)}


def _of_body(each: FieldError) -> dict[str, Any]:
    value = () if each.detail == "required" else (each.value,)
    return fault("pointer", each.pointer, each.detail, *value)


def _cut(text: str, most: int) -> str:
    text = text.encode(errors="replace").decode()  # a lone surrogate is no text
    return text if len(text) <= most else text[:most] + "…"


def _move(error: Any) -> Problem:
    told = {"job_status": error.status, "allowed": error.allowed}
    return Problem("illegal-move", str(error), **told)


def _not_ended(error: Any) -> Problem:
    told = {"job_status": error.status, "allowed": ["cancel"]}
    return Problem("illegal-move", str(error), **told)


def _last_checkpoint(error: Any) -> Problem:
    return Problem("last-checkpoint", str(error), job_status=error.status)


def _newer(_error: Any) -> Problem:
    detail = "this process is older than a job's record: ask again when all of them are new"
    return Problem("newer-record", detail, headers={"Retry-After": FULL_SECONDS})


def _rate_limited(error: Any) -> Problem:
    wait = str(max(1, math.ceil(error.seconds)))
    return Problem("rate-limited", f"try again in {wait} s", headers={"Retry-After": wait})


def _queue_full(error: Any) -> Problem:
    return Problem("queue-full", str(error), headers={"Retry-After": FULL_SECONDS})


def _column(error: Any) -> Problem:
    return Problem(
        "invalid-parameter",
        str(error),
        faults=[fault("parameter", "columns", str(error), ",".join(error.columns))],
        recorded=error.recorded,
    )


def _says(slug: str, detail: str = "") -> Callable[[Any], Problem]:
    return lambda error: Problem(slug, detail or str(error))


TABLE: tuple[tuple[type[Exception], Callable[[Any], Problem]], ...] = (
    (InvalidSpec, lambda error: invalid("invalid-spec", error.faults)),
    (errors.NoSuchJob, _says("no-such-job", "no job of this id is yours")),
    (errors.UnsupportedSchema, _newer),
    (errors.NoSuchDataset, _says("no-such-dataset", "no dataset of this id is yours")),
    (errors.DatasetInUse, lambda error: Problem("dataset-in-use", str(error), jobs=error.jobs)),
    (BadData, lambda error: invalid_data(error.faults)),
    (UploadTooLarge, _says("too-large")),
    (errors.NoSuchKey, _says("no-such-key", "no key has this id")),
    (errors.RateLimitExceeded, _rate_limited),
    (errors.QueueFull, _queue_full),
    (errors.NoSuchCheckpoint, _says("no-such-checkpoint", "the job has no such checkpoint now")),
    (NoSuchFile, _says("no-such-file", "see `files` of the checkpoint")),
    (UnsafePath, _says("no-such-file", "see `files` of the checkpoint")),
    (errors.IllegalTransition, _move),
    (errors.NotTerminal, _not_ended),
    (errors.LastCheckpoint, _last_checkpoint),
    (errors.DatasetDeleted, _says("data-gone")),
    (
        errors.IdempotencyMismatch,
        lambda error: bad_header(
            "idempotency-mismatch", "Idempotency-Key", "used with another body", str(error)
        ),
    ),
    (errors.RequestInProgress, _says("in-work", "wait for its answer, or send it again later")),
    (errors.IdempotentResultDeleted, _says("gone", "use a fresh key to make it again")),
    (
        errors.BadCursor,
        lambda error: bad_parameter("after", "a next_after that such a list gave", str(error)),
    ),
    (OutOfMemory, _says("storage-full", "nothing was stored: the store has no memory left")),
    (errors.StoreFull, lambda error: Problem("storage-full", f"nothing was stored: {error}")),
    (UnknownColumn, _column),
    (UnsupportedColumn, lambda error: bad_parameter("columns", str(error), error.column)),
    (DamagedCheckpoint, _says("damaged", "the checkpoint's files are not what was committed")),
    (ParseException, _says("bad-request", "the body is not sent as HTTP has it")),
    (DamagedHistory, _says("damaged", "a part of the history is not what was recorded")),
)

BY_STATUS = {
    404: "not-found",
    405: "method-not-allowed",
    406: "not-acceptable",
    413: "too-large",
    415: "unsupported-media-type",
}


def _http(error: HTTPException) -> Problem | None:
    """What Flask itself refuses."""
    code = error.code or 500
    if code >= 500:
        return None
    headers = {name: value for name, value in error.get_headers() if name == "Allow"}
    details = {
        404: "nothing lies at this path",
        405: f"it takes {headers.get('Allow')}",
        413: "the body may have 1 MiB at most",
    }
    slug = BY_STATUS.get(code, "bad-request")
    return Problem(slug, details.get(code) or error.description or error.name, headers=headers)
