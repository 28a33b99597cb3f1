"""The template process, from its worker's side: started, started again, asked for trainers.

The template has torch imported and is forked for each trainer. It is a program of its own, named
here by one command line; nothing of it is imported.

Its leash is its standard input: one end of a socket pair whose other end only this process keeps.
So it may be started from any thread, also again by the one that looks after it: what fires when
the *thread* that started a process ends is PR_SET_PDEATHSIG, and that is not used here. It is a
socket and not a pipe because a pool child, forked at any moment, lets go of every inherited socket
(pool.py) and so can never keep a dead worker's template alive.
"""

import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from workers.trainer_client import TrainerProcess

#: what must be set before torch is imported; a trainer sets its own thread count after the fork.
#: A thread that waits for others must sleep: where it spins, two threads on two cores that somebody
#: else uses too make 7 ticks/s instead of 190 (measured, a net of 512).
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "MKL_NUM_THREADS": "1",
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    "PYTHONHASHSEED": "0",
}
#: seconds in which a template answers at the latest: torch's import on a loaded machine, with room
READY_TIMEOUT_SECONDS = 120.0
REPLY_TIMEOUT_SECONDS = 10.0
RETRY_SECONDS = 0.05


class ForkServerUnavailable(Exception):
    """No trainer could be had: the template did not come up."""


class ForkServerProcess:
    """The template process of this worker. `start` may be called again when it has died."""

    def __init__(self, socket_path: Path) -> None:
        self.socket_path = socket_path
        self._process: subprocess.Popen[bytes] | None = None
        self._lifetime_socket: socket.socket | None = None

    def start(self) -> None:
        """Start the process; it answers some seconds later (`hire` waits for that)."""
        self.stop()
        self.socket_path.unlink(missing_ok=True)
        our_end, child_end = socket.socketpair()
        with child_end:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "ticks.process.forkserver", str(self.socket_path)],
                stdin=child_end.fileno(),
                stdout=subprocess.DEVNULL,
                env=trainer_environment(),
                start_new_session=True,  # a Ctrl-C for the worker must not end running trainers
            )
        self._lifetime_socket = our_end

    @property
    def pid(self) -> int | None:
        """Its process id, None before the first start."""
        return None if self._process is None else self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether the process runs; reaps it where it has ended."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """End the process; trainers it has forked go on. It has no state that could be lost."""
        if self._lifetime_socket is not None:
            self._lifetime_socket.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def trainer_environment() -> dict[str, str]:
    """Give ours without our settings: a trainer needs no key and no way to the store."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("TICKFORGE_") or name == "TICKFORGE_FAULTS"
    }
    return {**inherited, **ENVIRONMENT}


def spawn_trainer(
    socket_path: Path, may_retry: Callable[[], bool] = lambda: True
) -> TrainerProcess:
    """Return a fresh trainer from the template that listens at `path`.

    Waits while the template is being started, as long as `may_wait` agrees. Raises ForkServerUnavailable
    then, and after READY_TIMEOUT_SECONDS.
    """
    deadline = time.monotonic() + READY_TIMEOUT_SECONDS
    while True:
        try:
            return _request_trainer(socket_path)
        except (OSError, ValueError, IndexError) as error:  # not up yet, or it died in mid-answer
            if time.monotonic() > deadline or not may_retry():
                raise ForkServerUnavailable(f"the template gave no trainer: {error!r}") from error
        time.sleep(RETRY_SECONDS)


def fetch_exit_status(socket_path: Path, pid: int) -> int | None:
    """Return the wait status of a trainer that has ended; None where its template cannot tell."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(REPLY_TIMEOUT_SECONDS)
            client.connect(str(socket_path))
            client.sendall(b"?%d" % pid)
            return int(client.recv(32))
    except (OSError, ValueError):  # it has died since, and another does not know
        return None


def _request_trainer(socket_path: Path) -> TrainerProcess:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(REPLY_TIMEOUT_SECONDS)
        client.connect(str(socket_path))
        client.sendall(b"1")
        pid_text, descriptors, _, _ = socket.recv_fds(client, 64, 1)
    connection = socket.socket(fileno=descriptors[0])
    try:
        return TrainerProcess(int(pid_text), _open_pidfd(int(pid_text), connection), connection)
    except BaseException:
        connection.close()
        raise


def _open_pidfd(pid: int, connection: socket.socket) -> int:
    """Return a descriptor of the trainer at the other end of `leash`.

    The template reaps it, so its pid may be another process's by now; not so if its end
    of the leash is still open once the descriptor is.
    """
    pidfd = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(connection, select.POLLRDHUP)
    if poll.poll(0):
        os.close(pidfd)
        raise ProcessLookupError(pid)
    return pidfd
