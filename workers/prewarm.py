"""Compiles the graph engine's loop while a worker has nothing better to do, once a machine.

A program of its own, named here by one command line, at the lowest priority. Its leash is its
standard input (see template.py): it ends with the worker, and its compiler with it.
"""

import os
import signal
import socket
import subprocess
import sys

from workers.forkserver_client import trainer_environment

COMMAND = (sys.executable, "-m", "ticks.engines.graph", "--leash")
LOWEST_PRIORITY = 19  # of priorities


class Prewarm:
    """The compiling process, if one was started."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lifetime_socket: socket.socket | None = None

    def start(self) -> None:
        """Begin; nobody waits for it."""
        our_end, child_end = socket.socketpair()
        with child_end:
            self._process = subprocess.Popen(
                COMMAND,
                stdin=child_end.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=trainer_environment(),
                start_new_session=True,
            )
        os.setpriority(os.PRIO_PROCESS, self._process.pid, LOWEST_PRIORITY)
        self._lifetime_socket = our_end

    @property
    def is_started(self) -> bool:
        """Whether it was begun."""
        return self._process is not None

    def stop(self) -> None:
        """End it, its compiler too."""
        if self._process is None or self._process.poll() is not None:
            return
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
