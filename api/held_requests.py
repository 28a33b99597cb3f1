"""The limit on requests that hold a thread for a client: waits, streams, bodies, long answers.

Knows no resource. What a client sends or takes at once needs no place.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain

from flask import Response, current_app, g, request

from api.client_socket import client_socket
from api.errors import Problem

#: key of the app's HeldRequestLimit in its extensions
HELD_REQUESTS_EXTENSION = "tickforge.held"
RETRY_AFTER = "2"
DOWNLOADS_TAKEN = "every place for downloads is taken"
#: a streamed answer of at most so many bytes is read whole, and needs no place
MAX_SHORT_ANSWER_BYTES = 1 << 16


class HeldRequestLimit:
    """Limits how many requests may hold a thread; calls `on_change` with +1 and -1.

    Waits and streams take a place by `acquire`. Transfers (bodies that come slowly, long answers)
    share the same places by `acquire_transfer`: a tenant's have at most half of them, and its first
    one has a reserve, so that no tenant can keep another from every transfer.
    """

    def __init__(self, threads: int, on_change: Callable[[int], None] = lambda _: None) -> None:
        self.limit = max(1, threads * 3 // 4)
        self.reserve = threads // 8
        self.in_use = 0  # how many requests hold a thread now
        #: long answers are computed one after another: all threads share one interpreter
        self.turn = threading.Lock()
        self._transfers: Counter[str] = Counter()  # of each tenant
        self._on_change, self._lock = on_change, threading.Lock()

    def acquire(self) -> bool:
        """Count one more; False if the limit is reached."""
        return self._count(lambda: self.in_use < self.limit)

    def release(self) -> None:
        """Count one less."""
        with self._lock:
            self.in_use -= 1
        self._on_change(-1)

    def acquire_transfer(self, tenant: str) -> bool:
        """Count one more transfer of a tenant; False if it has too many, or all have."""

        def has_place() -> bool:
            of_tenant = self._transfers[tenant]
            limit = self.limit if of_tenant else self.limit + self.reserve
            if self.in_use >= limit or of_tenant >= max(1, self.limit // 2):
                return False
            self._transfers[tenant] += 1
            return True

        return self._count(has_place)

    def release_transfer(self, tenant: str) -> None:
        """Count one less."""
        with self._lock:
            self._transfers[tenant] -= 1
            if not self._transfers[tenant]:
                del self._transfers[tenant]
        self.release()

    def _count(self, has_place: Callable[[], bool]) -> bool:
        with self._lock:
            if not has_place():
                return False
            self.in_use += 1
        self._on_change(1)
        return True


def crowded_problem(detail: str) -> Problem:
    """Return the refusal of a request that would have to hold a thread."""
    return Problem("crowded", detail, headers={"Retry-After": RETRY_AFTER})


@contextmanager
def hold_place_for_body() -> Iterator[None]:
    """Hold a place while the body is read, unless it has come already. Raises Problem (503)."""
    peer = client_socket()
    if peer is None or peer.has_body:
        yield
        return
    release = _acquire_transfer("every place for bodies that come slowly is taken")
    try:
        yield
    finally:
        release()


@contextmanager
def hold_place_for_work() -> Iterator[None]:
    """Hold a place while a long answer is computed, in turn with others. Raises Problem (503)."""
    release = _acquire_transfer("every place for long answers is taken")
    try:
        with _limit().turn:
            yield
    finally:
        release()


@contextmanager
def hold_place_for_copy() -> Iterator[None]:
    """Hold a place while files are copied. Raises Problem (503)."""
    release = _acquire_transfer("every place for long answers is taken")
    try:
        yield
    finally:
        release()


def hold_place_for_answer(response: Response) -> Response:
    """Let a streamed answer hold a place until it is sent, or keep all of it if it is short.

    Raises Problem (503), and whatever its first pieces raise.
    """
    if not response.is_streamed or request.method == "HEAD" or g.get("holds_place"):
        return response
    length, pieces = response.content_length, response.iter_encoded()
    is_short = length is not None and length <= MAX_SHORT_ANSWER_BYTES
    try:
        release = (lambda: None) if is_short else _acquire_transfer(DOWNLOADS_TAKEN)
        response.call_on_close(release)
        if length is None:
            pieces = _take_turns(pieces, _limit().turn)
        beginning, is_whole = _read_beginning(pieces)
    except BaseException:
        response.close()
        raise
    response.response = beginning if is_whole else chain(beginning, pieces)
    if not is_whole:
        wait_for_reader(is_generated=length is None)
    return response


def _take_turns(pieces: Iterator[bytes], turn: threading.Lock) -> Iterator[bytes]:
    """Make each piece in turn with those of other answers."""
    while True:
        with turn:
            piece = next(pieces, None)
        if piece is None:
            return
        yield piece


def _read_beginning(pieces: Iterator[bytes]) -> tuple[list[bytes], bool]:
    """Return the first pieces, and whether they are all."""
    beginning, beginning_bytes = [], 0
    for piece in pieces:
        beginning.append(piece)
        beginning_bytes += len(piece)
        if beginning_bytes > MAX_SHORT_ANSWER_BYTES:
            return beginning, False
    return beginning, True


def wait_for_reader(*, is_generated: bool = False) -> None:
    """Let this request's thread wait for its client to read: it holds a place."""
    g.holds_place = True
    if (peer := client_socket()) is not None:
        peer.is_held = True
        if is_generated:
            peer.bound_buffer()


def _limit() -> HeldRequestLimit:
    limit: HeldRequestLimit = current_app.extensions[HELD_REQUESTS_EXTENSION]
    return limit


def _acquire_transfer(detail: str) -> Callable[[], None]:
    limit, tenant = _limit(), g.key.tenant if g.key else ""
    if not limit.acquire_transfer(tenant):
        raise crowded_problem(f"{detail}: try again, or with fewer at once")
    return partial(limit.release_transfer, tenant)
