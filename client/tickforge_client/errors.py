"""What can go wrong, one class a kind. Knows no HTTP library.

TickforgeError
├── NotConfigured        no server or key to use, or one that cannot be used
├── Problem              the server refused: status, title, detail, errors
│   ├── InvalidRequest   the request is wrong (400, 422 and their like)
│   ├── NotAuthorized    the key is unknown or lacks a scope (401, 403)
│   ├── NotFound         no such thing, or it was deleted (404, 410)
│   ├── Conflict         not in the job's status (409): job_status, allowed
│   └── ServerError    busy, full or broken (429, 5xx)
├── Unreachable          no answer, after all tries
├── UnexpectedAnswer     an answer that no Tickforge gives
├── CorruptDownload      bytes that do not fit their sha256
└── JobTimeout           the job has not ended in the time given
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: characters of a refused value that are shown
MAX_VALUE_CHARACTERS = 80


class TickforgeError(Exception):
    """Base of all errors of this package."""


class NotConfigured(TickforgeError):
    """No server or key to use, or one that cannot be used; the text says how to give it."""


class Unreachable(TickforgeError):
    """No answer from the server, after all tries."""


class UnexpectedAnswer(TickforgeError):
    """What answered is not a Tickforge server, or not one this client understands."""


class CorruptDownload(TickforgeError):
    """Downloaded bytes that do not fit their sha256; they were not kept."""


class JobTimeout(TickforgeError, TimeoutError):
    """The job has not ended in the time given; it goes on."""


@dataclass(frozen=True)
class FieldError:
    """One thing wrong with a request: where, what, and the value (if it was told)."""

    where: str
    detail: str
    value: Any = None
    has_value: bool = False

    @classmethod
    def parse(cls, entry: Mapping[str, Any]) -> FieldError:
        """Read an entry of a problem's `errors`."""
        templates = {
            "pointer": "{}",
            "parameter": "parameter {}",
            "header": "header {}",
        }
        where = next(
            (template.format(entry[key]) for key, template in templates.items() if key in entry), ""
        )
        if "row" in entry or "column" in entry:  # of a dataset
            position = [f"{key} {entry[key]}" for key in ("row", "column") if key in entry]
            where = ", ".join(position)
        return cls(where, str(entry.get("detail", "")), entry.get("value"), "value" in entry)

    def __str__(self) -> str:
        where = self.where or "the body"
        if self.has_value:
            text = json.dumps(self.value, ensure_ascii=False)
            where += f" = {text if len(text) <= MAX_VALUE_CHARACTERS else text[: MAX_VALUE_CHARACTERS - 1] + '…'}"
        return f"{where}: {self.detail}"


class Problem(TickforgeError):
    """The server refused. `status`, `type`, `title`, `detail`, `errors`; `body` holds the rest."""

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

    def lines(self) -> list[str]:
        """Say it in lines: what was refused, then each fault on its own."""
        summary = [part for part in (self.title, "" if self.errors else self.detail) if part]
        head = f"{': '.join(dict.fromkeys(summary)) or 'refused'} ({self.status})"
        return [head, *(f"  {fault}" for fault in self.errors)]


class InvalidRequest(Problem):
    """The request is wrong; `errors` names every fault."""


class NotAuthorized(Problem):
    """The key is unknown, or lacks a scope."""


class NotFound(Problem):
    """No such thing (for this key), or it was deleted."""


class Conflict(Problem):
    """Not possible in the job's status; `allowed` names the verbs that are."""

    @property
    def job_status(self) -> str | None:
        """The job's status, where the server told it."""
        return self.body.get("job_status")

    @property
    def allowed(self) -> list[str]:
        """The verbs that the job's status allows."""
        return list(self.body.get("allowed") or [])

    def lines(self) -> list[str]:
        """Say it in lines, with what is possible instead."""
        first, *rest = super().lines()
        if self.allowed:
            rest.append(f"  possible now: {', '.join(self.allowed)}")
        return [first, *rest]


class ServerError(Problem):
    """The server is busy, full or broken: a later try may do."""


_BY_STATUS: dict[int, type[Problem]] = {
    401: NotAuthorized,
    403: NotAuthorized,
    404: NotFound,
    409: Conflict,
    410: NotFound,
    429: ServerError,
}


def make_problem(status: int, body: Mapping[str, Any]) -> Problem:
    """The Problem for an answer's status and body."""
    kind = _BY_STATUS.get(status, ServerError if status >= 500 else InvalidRequest)
    return kind(status, body)
