"""The conditions of a request for a file, in the order of RFC 9110, section 13.2.2.

If-Match goes before If-Unmodified-Since, and If-None-Match before If-Modified-Since: of each pair
the second is looked at only without the first. A header that is no HTTP date is ignored, as the RFC
asks. Knows no file.
"""

from datetime import datetime

from flask import request

from api.errors import Problem, error_entry
from api.etag import etag_matches


def check_preconditions(etag: str, modified: datetime) -> None:
    """Raise Problem (412) unless If-Match, else If-Unmodified-Since, allows this file.

    If-Match takes `*` or a list of tags, compared strongly: a weak one never fits.
    """
    if "If-Match" in request.headers:
        if not request.if_match.contains(etag):
            raise _precondition_failed("If-Match", f'the file\'s ETag is "{etag}"')
        return
    since = request.if_unmodified_since
    if since is not None and modified > since:
        detail = f"the file is of {modified.isoformat().replace('+00:00', 'Z')}"
        raise _precondition_failed("If-Unmodified-Since", detail)


def is_not_modified(etag: str, modified: datetime) -> bool:
    """Whether the client has the file already, by If-None-Match or else If-Modified-Since."""
    if "If-None-Match" in request.headers:
        return etag_matches(etag)
    since = request.if_modified_since
    return since is not None and modified <= since


def _precondition_failed(name: str, detail: str) -> Problem:
    entry = error_entry("header", name, detail, request.headers[name])
    return Problem("precondition-failed", f"{name}: {detail}", error_entries=[entry])
