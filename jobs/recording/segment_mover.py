"""Moves a running history's full segments to files, in a thread beside the calls of new ticks.

Only one of its owner's threads is here, and no tick waits for it: what the disk does not take is
tried again later, what the store does not take with the next call. Knows no trainer.
"""

import time
from concurrent.futures import Future, ThreadPoolExecutor

from jobs.errors import NotAccepted, StoreFull
from jobs.files.artifacts import UnsafePath
from jobs.history.summary_rows import SEGMENT
from jobs.job import Lease
from jobs.recording.segments import Segments
from jobs.store.connection import UNAVAILABLE

#: seconds before a disk that did not take a segment is tried again
RETRY_SECONDS = 5.0
#: least seconds between two records of how much has moved: a native job fills ten segments a second
RECORD_SECONDS = 1.0


class SegmentMover:
    """Moves one history's segments under one lease; `unmoved` says what the disk said, if it did.

    What else a move raises (LeaseLost above all) is raised by the next `go` or `rest`.
    """

    def __init__(self, segments: Segments, lease: Lease, segments_in_files: int) -> None:
        """`moved` segments lie in files."""
        self.last_error: str | None = None
        self.segments_in_files = segments_in_files
        self._segments, self._lease = segments, lease
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="mover")
        self._current_move: Future[bool] | None = None
        self._tick = 0
        self._retry_at = self._record_at = 0.0

    def schedule(self, tick: int) -> None:
        """Move what is full at this tick, unless the last move is not over or its disk is full."""
        self._tick = tick
        if self._current_move is None or self._current_move.done():
            self._finish_current_move()
            self._start_if_due()

    def wait_idle(self) -> None:
        """Wait until nothing moves, and nothing that was told to `go` can."""
        while self._finish_current_move():
            self._start_if_due()

    def close(self) -> None:
        """Wait for the last move, whatever it meets; there is none after it."""
        self._thread.shutdown()

    @property
    def _is_due(self) -> bool:
        return (self.segments_in_files + 1) * SEGMENT < self._tick

    def _start_if_due(self) -> None:
        if self._is_due and time.monotonic() >= self._retry_at:
            self._current_move = self._thread.submit(self._move_full_segments)

    def _finish_current_move(self) -> bool:
        """Wait for the move under way; gives whether there was one, and it met nothing."""
        move, self._current_move = self._current_move, None
        return move is not None and move.result()

    def _move_full_segments(self) -> bool:
        try:
            while self._is_due:
                self._segments.move(
                    self._lease.tenant, self._lease.job_id, self.segments_in_files, self._lease
                )
                self.segments_in_files += 1
                self._archive_record()
        except (OSError, UnsafePath) as error:
            self.last_error = repr(error)
            self._retry_at = time.monotonic() + RETRY_SECONDS
            return False
        except (*UNAVAILABLE, StoreFull, NotAccepted):
            return False  # the calls beside this one meet it too
        self.last_error, self._retry_at = None, 0.0
        return True

    def _archive_record(self) -> None:
        if time.monotonic() >= self._record_at:
            self._segments.archive_record(self._lease)
            self._record_at = time.monotonic() + RECORD_SECONDS
