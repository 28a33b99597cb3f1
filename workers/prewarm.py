"""Compiles the graph engine's loop ahead of jobs, once per machine, at the lowest priority.

The compiling is a program of its own, named here by its command line. It ends with the worker, and
its compiler with it.
"""

import os
import signal
import socket
import subprocess
import sys

from workers.forkserver_client import start_attached

COMMAND = (sys.executable, "-m", "ticks.engines.graph", "--leash")
LOWEST_PRIORITY = 19


class Prewarm:
    """The compiling process, if one was started."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lifetime_socket: socket.socket | None = None

    def start(self) -> None:
        """Start compiling, without waiting for it."""
        self._process, self._lifetime_socket = start_attached(COMMAND, stderr=subprocess.DEVNULL)
        os.setpriority(os.PRIO_PROCESS, self._process.pid, LOWEST_PRIORITY)

    @property
    def is_started(self) -> bool:
        """Return whether it was started."""
        return self._process is not None

    def reap_if_ended(self) -> None:
        """Reap the process if it has ended: a zombie stays for as long as nobody looks at it."""
        if self._process is not None:
            self._process.poll()

    def stop(self) -> None:
        """Kill the process and its compiler."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        if self._lifetime_socket is not None:
            self._lifetime_socket.close()
