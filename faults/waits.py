"""Waiting for other processes, with deadlines that suit a busy machine."""

import time
from typing import Any


def wait_until(condition: Any, seconds: float = 10, description: str = "it") -> Any:
    """Call `condition` until its value is true, and return that value.

    `seconds` is for a quiet machine; a busy one is given three times as many.
    """
    deadline = time.monotonic() + 3 * seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{description} did not happen within {seconds:g} s"
        time.sleep(0.02)
    return value
