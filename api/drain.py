"""What is left of a request's body when the answer is known: read and dropped, within bounds.

A server that answers early and closes resets the connection, and the client may never read the
answer; one that keeps the connection would take the rest of the body for the next request.
"""

from typing import Any

MAX_DISCARDED_BYTES = 16 << 20  # bytes; behind that the connection is closed (api/server.py)
DISCARD_READ_SIZE = 1 << 16


def discard_body(environ: dict[str, Any]) -> None:
    """Read what the client still sends of its body; a client that stops ends it."""
    length = environ.get("CONTENT_LENGTH") or ""
    is_chunked = "HTTP_TRANSFER_ENCODING" in environ
    if not is_chunked and not (length.isdigit() and int(length) <= MAX_DISCARDED_BYTES):
        return  # nothing comes, or more than is waited for
    remaining = MAX_DISCARDED_BYTES
    try:
        while remaining > 0 and (
            piece := environ["wsgi.input"].read(min(DISCARD_READ_SIZE, remaining))
        ):
            remaining -= len(piece)
    except (OSError, ValueError):
        return  # cut, or not sent as HTTP has it: gunicorn closes such a connection itself
