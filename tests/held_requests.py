"""Requests that are held (long polls), made from a thread of their own."""

import threading
import time
from collections.abc import Callable
from typing import Any

from api.held_requests import HeldRequestLimit
from api.long_polling import LONG_POLLER_EXTENSION
from tests.support import ADMIN_KEY, wait_until
from tests.support_api import ReadingClient


class HeldRequest:
    """A GET under way; `seconds` is the time until its response."""

    def __init__(self, app: Any, path: str, **headers: str) -> None:
        self._client = ReadingClient(app, app.response_class)
        self._headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
        self._headers |= {name.replace("_", "-"): value for name, value in headers.items()}
        self._responses: list[Any] = []
        self.seconds = 0.0
        self._limit: HeldRequestLimit = app.extensions[LONG_POLLER_EXTENSION].held_request_limit
        self._thread = threading.Thread(target=self._send, args=(path,))
        before = self._limit.in_use
        self._thread.start()
        self._has_begun = lambda: self._limit.in_use > before or self._responses

    def _send(self, path: str) -> None:
        started = time.monotonic()
        response = self._client.get(path, headers=self._headers)
        self.seconds = time.monotonic() - started
        self._responses.append(response)

    def wait_until_held(self) -> "HeldRequest":
        """Return when the request is held; fails if it was answered at once."""
        wait_until(self._has_begun, 10, "the wait's begin")
        assert not self._responses, self._responses[0].json
        return self

    def wait_for_response(self, seconds: float = 20) -> Any:
        """Wait for the response."""
        self._thread.join(seconds)
        assert self._responses, f"no answer within {seconds:g} s"
        return self._responses[0]


def run_later(seconds: float, action: Callable[[], Any]) -> threading.Timer:
    """Run an action after a delay."""
    timer = threading.Timer(seconds, action)
    timer.start()
    return timer
