"""Trainers for one job after another: the next one is forked while the last one's job is ended.

What is forked ahead has no job, and does nothing but warm up. It ends with its socket, as every
trainer does, so it outlives no pool child; an idle worker holds none. A trainer whose job ended
well is killed at once and waited for only before the next one gets its job.
"""

import contextlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from workers.forkserver_client import receive_trainer, request_trainer, spawn_trainer
from workers.trainer_client import TrainerProcess


class TrainerSupply:
    """The trainers of one pool child; used by one thread."""

    def __init__(self, server: Path) -> None:
        """Have trainers forked by the server that listens at a path."""
        self._server = server
        self._request: socket.socket | None = None  # for a trainer ahead, not yet received
        self._ended: TrainerProcess | None = None  # killed and not yet waited for

    def fork_ahead(self, engine: str) -> None:
        """Request the next job's trainer, warmed up for an engine, without waiting for it."""
        if self._request is None:
            with contextlib.suppress(OSError):  # no fork server just now: `take` waits for it
                self._request = request_trainer(self._server, warm_up=engine)

    def take(self, may_retry: Callable[[], bool]) -> TrainerProcess:
        """Return a trainer for a job: the one that was forked ahead if it lives, else a new one.

        The trainer before it has ended. Raises ForkServerUnavailable, as `spawn_trainer` does.
        """
        process = self._receive_ahead() or spawn_trainer(self._server, may_retry)
        self._wait_ended()
        return process

    @contextlib.contextmanager
    def ending(self, process: TrainerProcess) -> Iterator[None]:
        """End a trainer with the context, and wait for its end at once only after an error."""
        try:
            yield
        except BaseException:
            process.close()
            raise
        process.end()
        self._ended = process

    def close(self) -> None:
        """Let the trainer go that was forked ahead, and wait for the last one's end."""
        if self._request is not None:
            self._request.close()  # it ends, for its own socket is closed with this one
            self._request = None
        self._wait_ended()

    def _receive_ahead(self) -> TrainerProcess | None:
        """Return the trainer that was forked ahead; None if there is none, or it has died."""
        request, self._request = self._request, None
        if request is None:
            return None
        with request:
            try:
                return receive_trainer(request)
            except (OSError, ValueError, IndexError):  # it has died, or its fork server
                return None

    def _wait_ended(self) -> None:
        if self._ended is not None:
            self._ended.wait()
            self._ended = None
