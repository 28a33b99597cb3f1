"""How long and how often to try again. Knows no HTTP."""

from __future__ import annotations

import email.utils
import random
import time
from collections.abc import Callable

from tickforge_client.errors import TickforgeError

#: seconds between the first two tries; doubled each time, and shortened at random by up to half
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0


class Patience:
    """Pauses between the tries of one call.

    They end when as much time has passed since its beginning as `seconds` then says.
    """

    def __init__(
        self,
        seconds: Callable[[], float],
        *,
        sleep: Callable[[float], None] = time.sleep,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self._began = time.monotonic()
        self._seconds = seconds
        self._pause = FIRST_PAUSE
        self._sleep = sleep
        self._say = say

    def pause(self, error: TickforgeError, asked: float | None = None) -> None:
        """Sleep before the next try; raise `error` instead when there is no time for one.

        `asked` is how long the server wants to be left alone: no try comes sooner.
        """
        pause = self._pause * random.uniform(0.5, 1)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        if asked is not None:
            pause = max(pause, asked)
        if time.monotonic() + pause > self._began + self._seconds():
            raise error
        if self._say is not None:
            self._say(f"{str(error).splitlines()[0]}; trying again")
            self._say = None  # once a call is enough
        self._sleep(pause)


def retry_after(value: str | None) -> float | None:
    """Seconds that a Retry-After header asks for, as a number or a date; None if it does not."""
    if not value:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        at = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, at.timestamp() - time.time())
