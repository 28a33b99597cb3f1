"""What is left of a request's body when the answer is known: read and dropped, within bounds.

A server that answers early and closes resets the connection, and the client may never read the
answer; one that keeps the connection would take the rest of the body for the next request.
"""

from typing import Any

MOST_DRAINED = 16 << 20  # bytes; behind that the connection is closed (api/server.py)
PIECE = 1 << 16


def drain(environ: dict[str, Any]) -> None:
    """Read what the client still sends of its body; a client that stops ends it."""
    length = environ.get("CONTENT_LENGTH") or ""
    chunked = "HTTP_TRANSFER_ENCODING" in environ
    if not chunked and not (length.isdigit() and int(length) <= MOST_DRAINED):
        return  # nothing comes, or more than is waited for
    left = MOST_DRAINED
    try:
        while left > 0 and (piece := environ["wsgi.input"].read(min(PIECE, left))):
            left -= len(piece)
    except (OSError, ValueError):
        return  # cut, or not sent as HTTP has it: gunicorn closes such a connection itself
