"""Reading server-sent events in tests: frames as they come, with the time of each."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

SSE = {"Accept": "text/event-stream"}


@dataclass(frozen=True)
class Frame:
    """One frame; `type` is "" for a comment."""

    type: str
    data: Any
    id: str | None
    at: float


class Reader:
    """An open stream of one response."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self._frames = self._read()

    def _read(self) -> Iterator[Frame]:
        fields: dict[str, str] = {}
        for line in self.answer.iter_lines():
            if line.startswith(":"):
                yield Frame("", line[1:].strip(), None, time.monotonic())
            elif line:
                name, _, value = line.partition(": ")
                assert name not in fields, "one line each"
                fields[name] = value
            elif fields:
                data = json.loads(fields["data"])
                yield Frame(fields["event"], data, fields.get("id"), time.monotonic())
                fields = {}

    def next(self, kind: str = "") -> Frame:
        """The next frame, or the next of a kind."""
        return next(frame for frame in self._frames if not kind or frame.type == kind)

    def rest(self) -> list[Frame]:
        """All frames to the stream's end."""
        return list(self._frames)


@contextmanager
def streaming(http: httpx.Client, path: str, **headers: str) -> Iterator[Reader]:
    """Open a stream; close it in the end."""
    sent = {**SSE, **{name.replace("_", "-"): value for name, value in headers.items()}}
    with http.stream("GET", path, headers=sent, timeout=20) as answer:
        assert answer.status_code == 200, answer.read()
        yield Reader(answer)
