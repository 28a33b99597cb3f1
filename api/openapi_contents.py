"""Media types in the published document: of uploads, of answers, of streams of events."""

from collections.abc import Iterable
from typing import Any

from api.etag import JSON

FORM = "multipart/form-data"
#: bodies of plain text; others are bytes
TEXT_MEDIA_TYPES = (
    "text/csv",
    "text/tab-separated-values",
    "text/plain",
    "text/html",
    "text/css",
    "text/javascript",
    "image/svg+xml",
    "application/x-ndjson",
    "application/jsonl",
    "application/jsonlines",
)
#: of bytes in a form, in a body, in an answer
BYTES_SCHEMA = {"type": "string", "format": "binary"}
FORM_SCHEMA = {
    "title": "UploadForm",
    "type": "object",
    "properties": {
        "file": {**BYTES_SCHEMA, "description": "one file; its field may have any name"},
    },
    "required": ["file"],
}


def describe_contents(media_types: Iterable[str]) -> dict[str, Any]:
    """Return the contents of these media types: texts, a form with a file of another, or bytes.

    A form comes first: generators of clients that make one function of an operation take the first
    media type, and every file can be sent as a form.
    """
    contents: dict[str, Any] = {name: {"schema": _describe_body(name)} for name in media_types}
    if contents.pop(FORM, None) is None:
        return contents
    encoding = {"file": {"contentType": ", ".join(contents)}}
    return {FORM: {"schema": FORM_SCHEMA, "encoding": encoding}, **contents}


def _describe_body(media_type: str) -> dict[str, Any]:
    if media_type == JSON:
        return {"type": "object"}
    return {"type": "string"} if media_type in TEXT_MEDIA_TYPES else BYTES_SCHEMA
