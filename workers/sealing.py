"""Finalizes ended jobs in a thread, beside the next job's claim and build.

A job that has ended has no lease, and finalizing is safe to repeat by whoever does it: what a dead
pool child leaves, the reconciler does. Knows no trainer.
"""

from concurrent.futures import Future, ThreadPoolExecutor

from jobs import fault_points, logs
from jobs.job import Lease
from jobs.recording.segments import Segments


class Sealing:
    """A context that finalizes one job at a time, and ends when the last one is finalized."""

    def __init__(self, segments: Segments, worker: str) -> None:
        self._segments, self._logger = segments, logs.get_logger("runner", worker=worker)
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="sealing")
        self._running: Future[None] | None = None

    def begin(self, lease: Lease) -> None:
        """Begin to finalize an ended job; wait for the one before it."""
        if self._running is not None:
            self._running.result()
        self._running = self._executor.submit(self._finalize, lease)

    def __enter__(self) -> "Sealing":
        return self

    def __exit__(self, *_error: object) -> None:
        self._executor.shutdown()

    def _finalize(self, lease: Lease) -> None:
        """Move the whole history to files and archive the record; the reconciler retries it."""
        with fault_points.working_for(lease.job_id):
            try:
                self._segments.finalize(lease.tenant, lease.job_id)
            except Exception as error:
                detail = repr(error)
                self._logger.warning("job not kept in files yet", job=lease.job_id, error=detail)
