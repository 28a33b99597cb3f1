"""Errors as problem bodies (RFC 9457): the one table from exception to status and type.

Any exception outside the table becomes a 500 without details, and is logged. Knows no route.
"""

import json
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from flask import Response
from gunicorn.http.errors import ParseException  # type: ignore[import-untyped]
from werkzeug.exceptions import HTTPException

from api.checked_files import DamagedFile
from api.problem_types import PROBLEM_TYPES
from api.shown_values import (
    MAX_DETAIL_LENGTH,
    MAX_LISTED_ERRORS,
    MAX_POINTER_LENGTH,
    fitting_entries,
    printable_value,
    truncate,
)  # fmt: skip
from jobs import errors
from jobs.answers.requests import InvalidRequest
from jobs.datasets.formats.damage import DamagedDataset
from jobs.datasets.formats.data_errors import BadData, DataError, MissingExtra
from jobs.datasets.upload import UploadTooLarge
from jobs.files.artifacts import DISK_FULL_ERRNOS, DISK_REFUSAL_ERRNOS, UnsafePath
from jobs.files.checkpoint_folders import DamagedCheckpoint, NoSuchFile
from jobs.history.errors import DamagedHistory, UnknownColumn, UnsupportedColumn
from jobs.job_service import InvalidVerifyRange
from jobs.spec.base import FieldError, InvalidSpec
from jobs.store.connection import UNAVAILABLE, OutOfMemory

PROBLEM_MEDIA_TYPE = "application/problem+json"
URN_PREFIX = "urn:tickforge:problem:"
MAX_FIRST_LENGTH = 350  # of the first error in a problem's detail
STORE_UNAVAILABLE_RETRY_AFTER = "2"


class Problem(Exception):
    """An error response: its type, a sentence, the single errors, and extension members.

    Of the errors it shows the first, as many as fit; `errors_left_out` counts the others.
    """

    def __init__(
        self,
        slug: str,
        detail: str,
        *,
        error_entries: Sequence[dict[str, Any]] = (),
        left_out: int = 0,
        headers: dict[str, str] | None = None,
        **extensions: Any,
    ) -> None:
        super().__init__(detail)
        self.status, self.title = PROBLEM_TYPES[slug]
        self.slug, self.detail = slug, detail
        self.error_entries, self.headers = fitting_entries(error_entries), headers or {}
        self.left_out = left_out + len(error_entries) - len(self.error_entries)
        self.extensions = extensions

    @property
    def body(self) -> dict[str, Any]:
        """The JSON document."""
        document: dict[str, Any] = {
            "type": URN_PREFIX + self.slug,
            "title": self.title,
            "status": self.status,
            "detail": truncate(self.detail, MAX_DETAIL_LENGTH),
            **self.extensions,
        }
        if self.error_entries:
            document["errors"] = self.error_entries
        if self.left_out:
            document["errors_left_out"] = self.left_out
        return document

    def response(self) -> Response:
        """Return the problem as a response."""
        text = json.dumps(self.body, allow_nan=False)
        return Response(text, self.status, headers=self.headers, content_type=PROBLEM_MEDIA_TYPE)


def error_entry(location: str, name: str, detail: str, *value: Any) -> dict[str, Any]:
    """Describe one error; `location` is "pointer", "parameter" or "header"."""
    shown_name = truncate(name, MAX_POINTER_LENGTH)
    entry = {location: shown_name, "detail": truncate(detail, MAX_DETAIL_LENGTH)}
    return {**entry, "value": printable_value(value[0])} if value else entry


def bad_parameter(name: str, detail: str, *value: Any) -> Problem:
    """Return the problem of one query parameter."""
    entry = error_entry("parameter", name, detail, *value)
    return Problem("invalid-parameter", f"{name}: {detail}", error_entries=[entry])


def bad_header(slug: str, name: str, detail: str, *value: Any) -> Problem:
    """Return the problem of one header."""
    entry = error_entry("header", name, detail, *value)
    return Problem(slug, f"{name}: {detail}", error_entries=[entry])


def validation_problem(slug: str, field_errors: Sequence[FieldError], left_out: int = 0) -> Problem:
    """Return the problem of a body with its errors; `left_out` counts those that are not given."""
    entries = [_field_error_entry(field_error) for field_error in field_errors[:MAX_LISTED_ERRORS]]
    count = len(field_errors) + left_out
    pointer = truncate(field_errors[0].pointer, MAX_POINTER_LENGTH) or "the body"
    first = f"{pointer}: {field_errors[0].detail}"
    detail = first if count == 1 else f"{truncate(first, MAX_FIRST_LENGTH)}; {count} faults in all"
    return Problem(slug, detail, error_entries=entries, left_out=count - len(entries))


def invalid_data_problem(data_errors: Sequence[DataError]) -> Problem:
    """Return the problem of a dataset, with its errors by row and column."""
    entries = [_data_error_entry(data_error) for data_error in data_errors[:MAX_LISTED_ERRORS]]
    axes = [axis for axis in ("row", "column") if axis in entries[0]]
    first = ", ".join(f"{axis} {entries[0][axis]}" for axis in axes)
    detail = f"{first or 'the data'}: {data_errors[0].detail}"
    if len(data_errors) >= MAX_LISTED_ERRORS:
        detail += f"; {len(data_errors)} faults, with which reading ended"
    elif len(data_errors) > 1:
        detail += f"; {len(data_errors)} faults in all"
    return Problem("invalid-data", detail, error_entries=entries)


def to_problem(error: BaseException) -> Problem | None:
    """Return the problem of an exception; None for an unexpected one."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, HTTPException):
        return _http_problem(error)
    if isinstance(error, UNAVAILABLE):
        detail = "try again; a POST with an Idempotency-Key can be repeated safely"
        return Problem("store-away", detail, headers={"Retry-After": STORE_UNAVAILABLE_RETRY_AFTER})
    matches = (convert(error) for kind, convert in EXCEPTION_TO_PROBLEM if isinstance(error, kind))
    return next(matches, None)


def _data_error_entry(data_error: DataError) -> dict[str, Any]:
    fields = {"row": data_error.row, "column": data_error.column, "value": data_error.value}
    entry = {name: printable_value(value) for name, value in fields.items() if value is not None}
    return {**entry, "detail": truncate(data_error.detail, MAX_DETAIL_LENGTH)}


def _field_error_entry(field_error: FieldError) -> dict[str, Any]:
    value = () if field_error.detail == "required" else (field_error.value,)
    return error_entry("pointer", field_error.pointer, field_error.detail, *value)


def _invalid_fields(slug: str, error: Any) -> Problem:
    return validation_problem(slug, error.errors, error.left_out)


def _refusal(slug: str, error: Exception) -> Problem:
    return Problem(slug, f"nothing was stored: {error}", headers=RETRY_LATER)


def _disk_problem(error: Any) -> Problem | None:
    """Return the problem of a disk that refuses what a request needs; None for other errors."""
    if error.errno not in (*DISK_FULL_ERRNOS, *DISK_REFUSAL_ERRNOS):
        return None
    return Problem("disk-away", f"the disk says: {error.strerror}", headers=RETRY_LATER)


def _not_terminal(error: Any) -> Problem:
    return Problem("illegal-move", str(error), job_status=error.status, allowed=["cancel"])


def _no_result(error: Any) -> Problem:
    return Problem("illegal-move", str(error), job_status=error.status, allowed=[])


def _rate_limited(error: Any) -> Problem:
    wait = str(max(1, math.ceil(error.seconds)))
    return Problem("rate-limited", f"try again in {wait} s", headers={"Retry-After": wait})


def _unknown_column(error: Any) -> Problem:
    detail = str(error)
    entry = error_entry("parameter", "columns", detail, ",".join(error.columns))
    return Problem("invalid-parameter", detail, error_entries=[entry], recorded=error.recorded)


def _idempotency_mismatch(error: Any) -> Problem:
    rule = "used with another body"
    return bad_header("idempotency-mismatch", "Idempotency-Key", rule, str(error))


def _missing_extra(error: Any) -> Problem:
    slug = "unsupported-media-type"
    return bad_header(slug, "Content-Type", f"not read here: {error}", error.media_type)


def _with_slug(
    slug: str, detail: str = "", headers: dict[str, str] | None = None, **extensions: str
) -> Callable[[Any], Problem]:
    """Return the function from an error to its problem; `extensions` name the error's fields."""

    def convert(error: Any) -> Problem:
        members = {name: getattr(error, field) for name, field in extensions.items()}
        return Problem(slug, detail or str(error), headers=headers, **members)

    return convert


OLDER_PROCESS = "this process is older than a job's record: ask again when all of them are new"
RETRY_LATER = {"Retry-After": "10"}  # a queue needs time to drain
RETRY_MUCH_LATER = {"Retry-After": "60"}  # jobs must end, or be deleted
QUOTA_MEMBERS = {name: name for name in ("name", "used", "needed", "limit")}
NO_SUCH_CHECKPOINT = "the job has no such checkpoint now"
DAMAGED_DATASET = "the dataset's file is not what was uploaded: delete it and upload it again"
DAMAGED_CHECKPOINT = "the checkpoint's files are not what was committed"
IN_PROGRESS = "wait for its answer, or send it again later"
NOT_ARCHIVED = "it would not outlive a loss of the store; send the request again"
OUT_OF_MEMORY = "nothing was stored: the store has no memory left"
NO_SUCH_DELIVERY = "the webhook has no delivery of this id, or it ended too long ago"
CURSOR_RULE = "a next_after that such a list gave"

EXCEPTION_TO_PROBLEM: tuple[tuple[type[Exception], Callable[[Any], Problem | None]], ...] = (
    (InvalidSpec, partial(_invalid_fields, "invalid-spec")),
    (InvalidRequest, partial(_invalid_fields, "invalid-body")),
    (InvalidVerifyRange, partial(_invalid_fields, "invalid-body")),
    (errors.NoSuchJob, _with_slug("no-such-job", "no job of this id is yours")),
    (errors.NoSuchPart, _with_slug("no-such-part")),
    (errors.UnsupportedSchema, _with_slug("newer-record", OLDER_PROCESS, RETRY_LATER)),
    (errors.NoSuchDataset, _with_slug("no-such-dataset", "no dataset of this id is yours")),
    (errors.DatasetInUse, _with_slug("dataset-in-use", jobs="jobs")),
    (BadData, lambda error: invalid_data_problem(error.errors)),
    (MissingExtra, _missing_extra),
    (UploadTooLarge, _with_slug("too-large")),
    (errors.NoSuchKey, _with_slug("no-such-key", "no key has this id")),
    (errors.NoSuchWebhook, _with_slug("no-such-webhook", "no webhook of this id is yours")),
    (errors.NoSuchDelivery, _with_slug("no-such-delivery", NO_SUCH_DELIVERY)),
    (errors.WebhookDisabled, _with_slug("webhook-disabled")),
    (errors.RateLimitExceeded, _rate_limited),
    (errors.QueueFull, _with_slug("queue-full", headers=RETRY_LATER)),
    (errors.NotExportable, _with_slug("not-exportable")),
    (errors.NoExportWorker, _with_slug("no-worker", headers=RETRY_LATER)),
    (errors.ExportFailed, _with_slug("export-failed")),
    (errors.QuotaExceeded, _with_slug("quota", headers=RETRY_MUCH_LATER, **QUOTA_MEMBERS)),
    (errors.NoSuchCheckpoint, _with_slug("no-such-checkpoint", NO_SUCH_CHECKPOINT)),
    (NoSuchFile, _with_slug("no-such-file", "see `files` of the checkpoint")),
    (UnsafePath, _with_slug("no-such-file", "see `files` of the checkpoint")),
    (errors.IllegalTransition, _with_slug("illegal-move", job_status="status", allowed="allowed")),
    (errors.NotTerminal, _not_terminal),
    (errors.NoResult, _no_result),
    (errors.CheckpointNotKept, _with_slug("not-kept", ticks="ticks")),
    (errors.HoldLost, lambda error: _refusal("disk-away", error)),
    (errors.LastCheckpoint, _with_slug("last-checkpoint", job_status="status")),
    (errors.DatasetDeleted, _with_slug("data-gone")),
    (errors.IdempotencyMismatch, _idempotency_mismatch),
    (errors.RequestInProgress, _with_slug("in-work", IN_PROGRESS)),
    (errors.IdempotentResultDeleted, _with_slug("gone", "use a fresh key to make it again")),
    (errors.BadCursor, lambda error: bad_parameter("after", CURSOR_RULE, str(error))),
    (OutOfMemory, _with_slug("storage-full", OUT_OF_MEMORY)),
    (errors.StoreFull, lambda error: _refusal("storage-full", error)),
    (errors.DiskUnavailable, lambda error: _refusal("disk-away", error)),
    (
        errors.NotArchived,
        lambda error: Problem("not-archived", f"{NOT_ARCHIVED} ({error})", headers=RETRY_LATER),
    ),
    (OSError, lambda error: _disk_problem(error)),
    (UnknownColumn, _unknown_column),
    (UnsupportedColumn, lambda error: bad_parameter("columns", str(error), error.column)),
    (DamagedDataset, _with_slug("damaged", DAMAGED_DATASET)),
    (DamagedCheckpoint, _with_slug("damaged", DAMAGED_CHECKPOINT)),
    (DamagedFile, _with_slug("damaged")),
    (ParseException, _with_slug("bad-request", "the body is not sent as HTTP has it")),
    (DamagedHistory, _with_slug("damaged", "a part of the history is not what was recorded")),
)

#: status of an error raised by Flask -> type, and the detail instead of Flask's, if any
HTTP_PROBLEMS = {
    404: ("not-found", "nothing lies at this path"),
    405: ("method-not-allowed", "it takes {allowed}"),
    406: ("not-acceptable", ""),
    413: ("too-large", "the body may have 1 MiB at most"),
    415: ("unsupported-media-type", ""),
}


def _http_problem(error: HTTPException) -> Problem | None:
    """Return the problem of an error raised by Flask; None for a 5xx."""
    code = error.code or 500
    if code >= 500:
        return None
    headers = {name: value for name, value in error.get_headers() if name == "Allow"}
    slug, rule = HTTP_PROBLEMS.get(code, ("bad-request", ""))
    detail = rule.format(allowed=headers.get("Allow")) or error.description or error.name
    return Problem(slug, detail, headers=headers)
