"""Waiting for what other processes do, with the patience that a busy machine needs."""

import time
from typing import Any


def wait_until(condition: Any, seconds: float = 10, description: str = "it") -> Any:
    """Call `happened` until it gives something true, and return that.

    `seconds` are those of a quiet machine; a busy one is given three times as many.
    """
    deadline = time.monotonic() + 3 * seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{description} did not happen within {seconds:g} s"
        time.sleep(0.02)
    return value
