"""What a call costs: processor time, and the peak of memory. Both hold on a busy machine."""

import ctypes
import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

#: below it the time of a call says nothing of how it grows
MIN_SECONDS = 0.02
MAX_RATIO = 3.0  # of the times at twice the size and at the size
#: of a call that is too slow: so many, or as many as take this long together, but at least four
TRIES, MAX_SECONDS, MIN_TRIES = 40, 6.0, 4
_PROCESS = Path("/proc/self")


@contextmanager
def frozen_heap() -> Iterator[None]:
    """Inside, the garbage collector does not look at what exists already.

    It would do so in the larger of two calls alone.
    """
    gc.collect()
    gc.freeze()  # more of what the suite has frozen already (conftest)
    yield


def processor_seconds(call: Callable[[], object]) -> float:
    """Return the processor time of this process that a call takes."""
    started = time.process_time()
    call()
    return time.process_time() - started


def growth(once: Callable[[], object], twice: Callable[[], object]) -> float:
    """Return by how much the time grows from a call to one with twice the input.

    1 where both are short. Something else may slow down either: the least of some tries counts, and
    they end as soon as the growth is within MAX_RATIO.
    """
    least_once, least_twice, spent = float("inf"), float("inf"), 0.0
    for tried in range(1, TRIES + 1):
        least_twice = min(least_twice, seconds := processor_seconds(twice))
        if least_twice <= MIN_SECONDS:
            return 1.0
        least_once = min(least_once, processor_seconds(once))
        spent += seconds
        is_over = tried >= MIN_TRIES and spent > MAX_SECONDS
        if least_twice <= MAX_RATIO * least_once or is_over:
            break
    return least_twice / least_once


def peak_bytes(call: Callable[[], object]) -> int:
    """Return by how much the resident memory of this process grows during a call, at most."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    (_PROCESS / "clear_refs").write_text("5")  # the peak begins anew
    before = _status_bytes("VmRSS:")
    call()
    return _status_bytes("VmHWM:") - before


def _status_bytes(field: str) -> int:
    return int((_PROCESS / "status").read_text().split(field)[1].split()[0]) << 10
