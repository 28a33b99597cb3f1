"""The client of an answering process: a trainer that is asked for answers instead of ticks.

One command at a time, each with one reply; long work is done in slices, between which others may
be asked. Knows the frames, which ticks/process lists; knows no store and not what an answer is.
"""

import select
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jobs.trainer_frames import Frame, PeerGone, receive_frame, send_frame
from workers.forkserver_client import spawn_trainer
from workers.trainer_client import TrainerError, TrainerProcess

POLL_SECONDS = 0.25  # between two calls of `on_wait` while a reply is awaited


class ProcessStalled(Exception):
    """The process has given no sign of life for too long."""


class AnsweringProcess:
    """The process that computes answers, started with the first command."""

    def __init__(self, server: Path, stall_seconds: float, on_wait: Callable[[], None]) -> None:
        """Fork it from the server at that path; `on_wait` is called while a reply is awaited.

        What `on_wait` raises ends the waiting.
        """
        self._server, self._stall_seconds, self._on_wait = server, stall_seconds, on_wait
        self._process: TrainerProcess | None = None

    @property
    def is_started(self) -> bool:
        """Return whether there is a process."""
        return self._process is not None

    def start(self, may_retry: Callable[[], bool]) -> None:
        """Fork it, unless it runs. Raises ForkServerUnavailable."""
        if self._process is None:
            self._process = spawn_trainer(self._server, may_retry)

    def ask(self, command: str, header: dict[str, Any]) -> Frame:
        """Send a command and return its reply.

        Raises PeerGone, TrainerError or ProcessStalled; then `close` it.
        """
        assert self._process is not None, "start it first"
        connection = self._process.connection
        send_frame(connection, command, header)
        deadline = time.monotonic() + self._stall_seconds
        while True:
            readable, _, _ = select.select([connection], [], [], POLL_SECONDS)
            if readable:
                if (frame := receive_frame(connection)).kind != "alive":
                    return _check(frame)
                deadline = time.monotonic() + self._stall_seconds
            elif time.monotonic() > deadline:
                raise ProcessStalled("the answering process stood still and was killed")
            self._on_wait()

    def close(self) -> None:
        """Kill the process, if there is one; the next `start` forks another."""
        if self._process is not None:
            self._process.close()
            self._process = None


#: what an answer's attempt can end with though nothing is wrong with the answer
PROCESS_ERRORS = (PeerGone, TrainerError, ProcessStalled)


def _check(frame: Frame) -> Frame:
    if frame.kind == "error":
        raise TrainerError(*(frame.header[key] for key in ("type", "detail", "traceback")))
    return frame
