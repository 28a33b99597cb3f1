"""Moves a running history's full segments to files in a thread of its own, so no tick waits for it.

A move that the disk refuses is retried later, one that the store refuses with the next ticks. Knows
no trainer.
"""

import time
from concurrent.futures import Future, ThreadPoolExecutor

from jobs.errors import NotAccepted, StoreFull
from jobs.files.artifacts import UnsafePath
from jobs.history.summary_rows import SEGMENT
from jobs.job import Lease
from jobs.recording.segments import Segments
from jobs.store.connection import UNAVAILABLE

#: after the disk refused a segment
RETRY_SECONDS = 5.0
#: between two archive records of the moves: a native job fills ten segments a second
RECORD_SECONDS = 1.0


class SegmentMover:
    """Moves one history's segments under one lease; `last_error` is the disk's, if it refused one.

    A store that is unavailable, full or not yet that far ends a move without an error: appends meet
    it too. Any other error, LeaseLost above all, is raised by the next `schedule` or `wait_idle`.
    """

    def __init__(self, segments: Segments, lease: Lease, segments_in_files: int) -> None:
        """Begin after the first `segments_in_files` segments."""
        self.last_error: str | None = None
        self.segments_in_files = segments_in_files
        self._segments, self._lease = segments, lease
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="mover")
        self._current_move: Future[bool] | None = None
        self._tick, self._retry_at, self._record_at = 0, 0.0, 0.0

    def schedule(self, tick: int) -> None:
        """Start to move what is full at this tick, unless a move runs or waits for its retry."""
        self._tick = tick
        if self._current_move is None or self._current_move.done():
            self._finish_current_move()
            self._start_if_due()

    def wait_idle(self) -> None:
        """Wait until no move runs and none can start."""
        while self._finish_current_move():
            self._start_if_due()

    def close(self) -> None:
        """Wait for the move that runs, ignoring its errors; no other starts."""
        self._thread.shutdown()

    @property
    def _is_due(self) -> bool:
        return (self.segments_in_files + 1) * SEGMENT < self._tick

    def _start_if_due(self) -> None:
        if self._is_due and time.monotonic() >= self._retry_at:
            self._current_move = self._thread.submit(self._move_full_segments)

    def _finish_current_move(self) -> bool:
        """Wait for the move that runs; return whether there was one and it succeeded."""
        move, self._current_move = self._current_move, None
        return move is not None and move.result()

    def _move_full_segments(self) -> bool:
        lease = self._lease
        try:
            while self._is_due:
                self._segments.move(lease.tenant, lease.job_id, self.segments_in_files, lease)
                self.segments_in_files += 1
                self._archive_record()
        except (OSError, UnsafePath) as error:
            self.last_error = repr(error)
            self._retry_at = time.monotonic() + RETRY_SECONDS
            return False
        except (*UNAVAILABLE, StoreFull, NotAccepted):
            return False  # the appends meet it too, and handle it
        self.last_error, self._retry_at = None, 0.0
        return True

    def _archive_record(self) -> None:
        if time.monotonic() >= self._record_at:
            self._segments.archive_record(self._lease)
            self._record_at = time.monotonic() + RECORD_SECONDS
