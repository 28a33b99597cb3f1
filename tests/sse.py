"""Read server-sent events in tests: frames as they come, with the time of each."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from api.schemas_job_events import StreamedEvent

SSE = {"Accept": "text/event-stream"}


@dataclass(frozen=True)
class Frame:
    """One frame; `type` is "" for a comment."""

    type: str
    data: Any
    id: str | None
    received_at: float


class SseReader:
    """Reads the open stream of one response."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._frames = self._read()

    def _read(self) -> Iterator[Frame]:
        fields: dict[str, str] = {}
        for line in self.response.iter_lines():
            if line.startswith(":"):
                yield Frame("", line[1:].strip(), None, time.monotonic())
            elif line:
                name, _, value = line.partition(": ")
                assert name not in fields, "one line each"
                fields[name] = value
            elif fields:
                data = json.loads(fields["data"])
                StreamedEvent.model_validate(data)  # what the document says of each
                yield Frame(fields["event"], data, fields.get("id"), time.monotonic())
                fields = {}

    def next(self, kind: str = "") -> Frame:
        """Return the next frame, or the next of a type."""
        return next(frame for frame in self._frames if not kind or frame.type == kind)

    def read_rest(self) -> list[Frame]:
        """Return all frames to the stream's end."""
        return list(self._frames)


@contextmanager
def open_stream(http: httpx.Client, path: str, **headers: str) -> Iterator[SseReader]:
    """Open a stream, and close it at the end."""
    request_headers = {**SSE, **{name.replace("_", "-"): value for name, value in headers.items()}}
    with http.stream("GET", path, headers=request_headers, timeout=20) as response:
        assert response.status_code == 200, response.read()
        yield SseReader(response)
