"""Requests that are held, made from a thread of their own, and the hand that ends them."""

import threading
import time
from collections.abc import Callable
from typing import Any

from api.long_polling import LONG_POLLER_EXTENSION, HeldRequestLimit
from tests.support import ADMIN_KEY, wait_until
from tests.support_api import ReadingClient


class Held:
    """A GET under way; `answer` waits for what comes of it, `seconds` is what that took."""

    def __init__(self, app: Any, path: str, **headers: str) -> None:
        self._client = ReadingClient(app, app.response_class)
        self._sent = {"Authorization": f"Bearer {ADMIN_KEY}"}
        self._sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        self._came: list[Any] = []
        self.seconds = 0.0
        self._places: HeldRequestLimit = app.extensions[LONG_POLLER_EXTENSION].held_request_limit
        self._thread = threading.Thread(target=self._ask, args=(path,))
        before = self._places.in_use
        self._thread.start()
        self._begun = lambda: self._places.in_use > before or self._came

    def _ask(self, path: str) -> None:
        began = time.monotonic()
        answer = self._client.get(path, headers=self._sent)
        self.seconds = time.monotonic() - began
        self._came.append(answer)

    def waits(self) -> "Held":
        """Return when it is held; fails if it was answered at once."""
        wait_until(self._begun, 10, "the wait's begin")
        assert not self._came, self._came[0].json
        return self

    def answer(self, seconds: float = 20) -> Any:
        """Wait for the answer."""
        self._thread.join(seconds)
        assert self._came, f"no answer within {seconds:g} s"
        return self._came[0]


def after(seconds: float, act: Callable[[], Any]) -> threading.Timer:
    """Do something a little later."""
    timer = threading.Timer(seconds, act)
    timer.start()
    return timer
