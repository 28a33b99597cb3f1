"""The one file of a multipart/form-data body (RFC 7578), read while it streams in.

Knows no dataset. Nothing of the body is kept: the file's bytes leave in pieces.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.sansio.multipart import Data, Epilogue, Event, Field, File, MultipartDecoder, NeedData

from api.errors import Problem, validation_problem
from api.upload_body import READ_SIZE
from jobs.spec.base import FieldError

MAX_PART_HEADER_BYTES = 1 << 16  # also of what stands before the first part or after the last
FIELD_RULE = "no field beside the one file: options are query parameters"
FILE_RULE = "one file: another one is another request"


@dataclass(frozen=True)
class FilePart:
    """The file of a form: what its part says of it, and its bytes, which come once."""

    filename: str  # "" if the part has none
    content_type: str
    pieces: Iterator[bytes]


def read_file_part(pieces: Iterable[bytes], boundary: str) -> FilePart:
    """Read up to the first byte of the file.

    Raises Problem, as do the part's pieces: 400 for a malformed or truncated body, 422 for any part
    beside the file, and for a form without a file.
    """
    events = _iter_events(pieces, boundary)
    for event in events:
        if isinstance(event, Field):
            raise _field_problem(event, events)
        if isinstance(event, File):
            content_type = event.headers.get("Content-Type", "")
            return FilePart(event.filename, content_type, _iter_file(events))
    raise _part_problem("file", "required")


def _iter_file(events: Iterator[Event]) -> Iterator[bytes]:
    """Yield the file's bytes; refuse what follows it."""
    for event in events:
        if isinstance(event, Data) and event.data:
            yield event.data
        elif isinstance(event, Field):
            raise _field_problem(event, events)
        elif isinstance(event, File):
            raise _part_problem(event.name, FILE_RULE, event.filename)


def _iter_events(pieces: Iterable[bytes], boundary: str) -> Iterator[Event]:
    """Yield a decoder's events up to the last boundary. Raises Problem (400)."""
    decoder = MultipartDecoder(boundary.encode(), READ_SIZE + MAX_PART_HEADER_BYTES)
    try:
        for data in chain(_cut_before_boundaries(pieces, len(boundary)), [None]):  # None: the end
            decoder.receive_data(data)
            while not isinstance(event := decoder.next_event(), NeedData | Epilogue):
                yield event
    except (ValueError, RequestEntityTooLarge):
        rule = "parts between boundaries, each with its headers, and a last boundary"
        raise Problem("bad-request", f"multipart/form-data has {rule}") from None


def _cut_before_boundaries(pieces: Iterable[bytes], boundary_length: int) -> Iterator[bytes]:
    """Move the cuts between pieces to where no boundary can be cut through.

    The decoder takes a part's last carriage return, which is the boundary's, for its content where
    a piece ends between the boundary and the newline after it.
    """
    tail_length = boundary_length + len(b"\r\n----\r\n")
    rest = b""
    for piece in pieces:
        data = rest + piece
        tail = data[-tail_length:]
        starts = [at for at in (tail.find(b"\r"), tail.find(b"\n")) if at >= 0]
        end = len(data) - len(tail) + min(starts) if starts else len(data)
        rest = data[end:]
        if end:
            yield data[:end]
    yield rest


def _field_problem(field: Field, events: Iterator[Event]) -> Problem:
    data = next(events, None)
    text = data.data.decode(errors="replace") if isinstance(data, Data) else ""
    return _part_problem(field.name, FIELD_RULE, text)


def _part_problem(name: str, rule: str, value: str | None = None) -> Problem:
    return validation_problem("invalid-body", [FieldError(f"/{name or ''}", rule, value)])
