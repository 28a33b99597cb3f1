"""The headers in the published document: of requests, with their rules, and of responses."""

from typing import Any

from api.endpoints import MAX_IDEMPOTENCY_KEY_LENGTH

#: header -> its description, and the rules of its text as JSON Schema
REQUEST_HEADERS: dict[str, tuple[str, dict[str, Any]]] = {
    "Idempotency-Key": (
        "1 to 255 printable ASCII characters; a repeated request with it changes nothing",
        {
            "minLength": 1,
            "maxLength": MAX_IDEMPOTENCY_KEY_LENGTH,
            "pattern": "^[!-~]([ -~]*[!-~])?$",
        },
    ),
    "Content-Encoding": (
        "of a compressed file, not of a form: `gzip`",
        {"pattern": "^(gzip)?$"},
    ),
    "If-Match": ("ETags, or `*`; the answer is 412 if the file has none of them", {}),
    "If-Unmodified-Since": (
        "an HTTP date; the answer is 412 if the file is newer. Not looked at beside If-Match",
        {},
    ),
    "If-Modified-Since": (
        "an HTTP date; the answer is 304 if the file is not newer. Not looked at beside "
        "If-None-Match",
        {},
    ),
    "If-None-Match": ("an earlier ETag; the response is 304 if it is still current", {}),
    "Last-Event-ID": (
        "number of the last event received; the stream continues after it",
        {"pattern": "^[0-9]{1,15}$"},
    ),
    "Range": ("one range of bytes", {}),
    "If-Range": (
        "the ETag the range belongs to; the whole file is sent if it is no longer current",
        {},
    ),
}
RESPONSE_HEADERS = {
    "Accept-Ranges": "bytes",
    "Content-Disposition": "the name under which to keep the file",
    "Content-Location": "path of the file at its tick, whatever name it was asked for by",
    "Content-Range": "the bytes sent, and the size of the file",
    "ETag": "for If-None-Match",
    "Idempotent-Replayed": "true if an earlier request with this idempotency key had this effect",
    "Last-Modified": "when the file was made",
    "Location": "path of the new resource",
    "Retry-After": "seconds; there was no capacity to wait, so this is the current state",
    "X-Until-Met": "with `until`: whether that is so, rather than that the time is over or the job",
    "X-Complete": "true if nothing more will come",
    "X-First-Byte": "offset of the first byte sent",
    "X-Next-After": "the next `after`",
    "X-First-Tick": "the first tick of a binary form or an export",
    "X-Last-Tick": "its last tick; one less than the first if it has none",
}
