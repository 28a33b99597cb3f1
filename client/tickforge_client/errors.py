"""The errors of this package, one class per kind. Knows no HTTP library.

TickforgeError
├── NotConfigured        no server or key is configured, or an unusable one
├── Problem              the server refused: status, title, detail, errors
│   ├── InvalidRequest   the request is wrong (400, 422 and other 4xx)
│   ├── NotAuthorized    the key is unknown or lacks a scope (401, 403)
│   ├── NotFound         it does not exist, or was deleted (404, 410)
│   ├── Conflict         not possible in the job's status (409): job_status, allowed
│   ├── QuotaExceeded    a quota of the tenant is used up (429): name, used, limit
│   ├── FileChanged      a file is another one now than was listed (412)
│   └── ServerError      busy, full or broken (429, 5xx)
│       └── DamagedOnServer  a stored file is not what was saved: trying again is of no use
├── InvalidInput         what was given cannot be sent: errors, as of a Problem
├── Unreachable          no answer after all attempts
├── UnexpectedAnswer     an answer that no Tickforge server gives
├── CorruptDownload      downloaded bytes with a wrong sha256
├── AnswerFailed         a prediction failed or was cancelled: job, its fields
├── InvalidWebhook       a webhook's message that its secret did not sign, or an old one
├── MissingPackage       an optional package is needed: pandas
├── ExportError          a folder of exports is not what an export leaves
├── JobTimeout           the job has not ended within the given time
└── UnknownType          a file name whose suffix implies no media type (in uploads)
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: characters of a refused value that an error message shows
MAX_VALUE_CHARACTERS = 80


class TickforgeError(Exception):
    """Base of all errors of this package.

    `job_id`: where several jobs were asked for at once, the one that it is about.
    """

    job_id: str | None = None

    def document(self) -> dict[str, Any]:
        """Return the error as a JSON object: RFC 9457's `title` and `detail`."""
        words = re.findall("[A-Z][a-z]*", type(self).__name__)
        return {"title": " ".join(words).capitalize(), "detail": str(self)}


class NotConfigured(TickforgeError):
    """No server or key is configured, or an unusable one; the message says how to set it."""


class Unreachable(TickforgeError):
    """The server did not answer in any attempt."""


class UnexpectedAnswer(TickforgeError):
    """The answer is not from a Tickforge server, or from one this client does not understand."""


class CorruptDownload(TickforgeError):
    """Downloaded bytes have a wrong sha256; they were deleted."""


class MissingPackage(TickforgeError, ImportError):
    """An optional package is needed, and is not installed; the message says how to install it."""


class ExportError(TickforgeError):
    """A folder of exports is not what an export leaves; the message says what to do."""


class InvalidWebhook(TickforgeError):
    """A message whose signature or time is wrong: not to be trusted."""


class JobTimeout(TickforgeError, TimeoutError):
    """The job has not ended within the given time; it continues on the server."""


class AnswerFailed(TickforgeError):
    """What a net was asked failed, or was cancelled; `job` has the fields of the answer."""

    def __init__(self, job: Mapping[str, Any]) -> None:
        error = job["error"] or {"type": job["status"], "detail": "it was cancelled"}
        super().__init__(f"{error['type']}: {error['detail']}")
        self.job = job


@dataclass(frozen=True)
class FieldError:
    """One error in a request: its place, its rule, and the value if the server returned it."""

    where: str
    detail: str
    value: Any = None
    has_value: bool = False

    @classmethod
    def parse(cls, entry: Mapping[str, Any]) -> FieldError:
        """Make a FieldError of an entry of a problem's `errors`."""
        labels = {"pointer": "", "parameter": "parameter ", "header": "header "}
        places = [f"{label}{entry[key]}" for key, label in labels.items() if key in entry]
        where = places[0] if places else ""
        if "row" in entry or "column" in entry:  # of a dataset
            where = ", ".join(f"{key} {entry[key]}" for key in ("row", "column") if key in entry)
        return cls(where, str(entry.get("detail", "")), entry.get("value"), "value" in entry)

    def __str__(self) -> str:
        where = self.where or "the body"
        if self.has_value:
            text = json.dumps(self.value, ensure_ascii=False, default=repr)
            if len(text) > MAX_VALUE_CHARACTERS:
                text = text[: MAX_VALUE_CHARACTERS - 1] + "…"
            where += f" = {text}"
        return f"{where}: {self.detail}"


class InvalidInput(TickforgeError, ValueError):
    """What was given cannot be sent, and nothing was: `errors` has its places and their rules."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        self.errors = list(errors)
        super().__init__("\n".join(["it cannot be sent", *(f"  {error}" for error in errors)]))

    def document(self) -> dict[str, Any]:
        """Return the errors, with their pointers, as a JSON object."""
        errors = [{"pointer": error.where, "detail": str(error)} for error in self.errors]
        return {"title": "Invalid input", "detail": str(self), "errors": errors}


class Problem(TickforgeError):
    """The server refused: RFC 9457's `status`, `type`, `title`, `detail`, and `errors`, `body`."""

    def __init__(self, status: int, body: Mapping[str, Any]) -> None:
        self.status = status
        self.body = dict(body)
        self.type = str(body.get("type", "about:blank"))
        self.title = str(body.get("title", ""))
        self.detail = str(body.get("detail") or "")
        errors = body.get("errors")
        entries = errors if isinstance(errors, list) else []
        self.errors = [FieldError.parse(entry) for entry in entries if isinstance(entry, Mapping)]
        super().__init__("\n".join(self.lines()))

    def document(self) -> dict[str, Any]:
        """Return the problem as the server sent it, with its status."""
        return {"status": self.status, **self.body}

    def lines(self) -> list[str]:
        """Return the message's lines: the summary, then one line per error."""
        summary = [part for part in (self.title, "" if self.errors else self.detail) if part]
        head = f"{': '.join(dict.fromkeys(summary)) or 'refused'} ({self.status})"
        return [head, *(f"  {error}" for error in self.errors)]


class InvalidRequest(Problem):
    """The request is wrong; `errors` lists every wrong field."""


class NotAuthorized(Problem):
    """The key is unknown or lacks a scope."""


class NotFound(Problem):
    """It does not exist (for this key), or it was deleted."""


class Conflict(Problem):
    """Not possible in the job's status; `allowed` lists the actions that are."""

    @property
    def job_status(self) -> str | None:
        """The job's status, if the server returned it."""
        return self.body.get("job_status")

    @property
    def allowed(self) -> list[str]:
        """The actions that the job's status allows."""
        return list(self.body.get("allowed") or [])

    def lines(self) -> list[str]:
        """Return the message's lines, with the actions possible instead."""
        possible = [f"  possible now: {', '.join(self.allowed)}"] if self.allowed else []
        return super().lines() + possible


class QuotaExceeded(Problem):
    """A quota of the tenant is used up: `name`, `used` and `limit` are in the body."""


class ServerError(Problem):
    """The server is busy, full or broken; a later attempt may succeed."""


class FileChanged(Problem):
    """The file is another one now than was listed: list again."""


class DamagedOnServer(ServerError):
    """A stored file is not what was saved; it has to be put back from a backup, or made again."""


#: kinds of problems that are told by their type
_BY_TYPE: dict[str, type[Problem]] = {
    "urn:tickforge:problem:damaged": DamagedOnServer,
    "urn:tickforge:problem:quota": QuotaExceeded,
}
_BY_STATUS: dict[int, type[Problem]] = {
    401: NotAuthorized,
    403: NotAuthorized,
    404: NotFound,
    409: Conflict,
    410: NotFound,
    412: FileChanged,
    429: ServerError,
}


def make_problem(status: int, body: Mapping[str, Any]) -> Problem:
    """Return the Problem of the class that fits an answer's status and type."""
    by_status = _BY_STATUS.get(status, ServerError if status >= 500 else InvalidRequest)
    return _BY_TYPE.get(str(body.get("type")), by_status)(status, body)
