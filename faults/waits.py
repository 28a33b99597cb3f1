"""Waiting for other processes, with deadlines that suit a busy machine."""

import time
from typing import Any

MIN_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 0.02, 0.1


def wait_until(condition: Any, seconds: float = 10, description: str = "it") -> Any:
    """Call `condition` until its value is true, and return that value.

    `seconds` is for a quiet machine; a busy one is given three times as many. The longer it takes,
    and the longer the condition itself does, the longer the pauses: what is waited for needs the
    processor too.
    """
    started = time.monotonic()
    while True:
        call_started = time.monotonic()
        if value := condition():
            return value
        now = time.monotonic()
        assert now < started + 3 * seconds, f"{description} did not happen within {seconds:g} s"
        pause = max(MIN_PAUSE_SECONDS, (now - started) / 20, 3 * (now - call_started))
        time.sleep(min(pause, MAX_PAUSE_SECONDS))
