"""The client of the fork server: starts and restarts it, and requests trainers from it.

The fork server has torch imported and forks itself for each trainer. It is a program of its own,
named here by its command line; nothing of it is imported.
"""

import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from workers.trainer_client import TrainerProcess

#: what must be set before torch is imported; a trainer sets its own thread count after the fork.
#: Waiting threads must sleep: spinning ones, two on two busy cores, make 7 ticks/s instead of 190
#: (measured, a net of 512).
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "MKL_NUM_THREADS": "1",
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    # torch.cuda.is_available() asks the driver's library instead of making a CUDA context, which
    # no fork survives
    "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
    "PYTHONHASHSEED": "0",
}
#: seconds until a fork server must reply: torch's import on a loaded machine, with a margin
READY_TIMEOUT_SECONDS = 120.0
REPLY_TIMEOUT_SECONDS = 10.0
RETRY_SECONDS = 0.05


class ForkServerUnavailable(Exception):
    """The fork server gave no trainer: it has not come up."""


class ForkServerProcess:
    """The fork server of this worker. `start` may be called again when it has died."""

    def __init__(self, socket_path: Path) -> None:
        self.socket_path = socket_path
        self._process: subprocess.Popen[bytes] | None = None
        self._lifetime_socket: socket.socket | None = None

    def start(self) -> None:
        """Start the process; it replies some seconds later, for which `spawn_trainer` waits."""
        self.stop()
        self.socket_path.unlink(missing_ok=True)
        command = (sys.executable, "-m", "ticks.process.forkserver", str(self.socket_path))
        self._process, self._lifetime_socket = start_attached(command)

    @property
    def pid(self) -> int | None:
        """Return its process id, or None before the first start."""
        return None if self._process is None else self._process.pid

    @property
    def is_alive(self) -> bool:
        """Return whether the process runs; reap it if it has ended."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """Kill the process, which has no state to lose; trainers that it has forked go on."""
        if self._lifetime_socket is not None:
            self._lifetime_socket.close()
        # the same one twice: the reconciler's thread may be starting another just now
        if (process := self._process) is not None:
            process.kill()
            process.wait()


def start_attached(
    command: Sequence[str], stderr: int | None = None
) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Start a process that ends when the returned socket is closed, also by this process's death.

    The socket's other end is the process's standard input. Unlike PR_SET_PDEATHSIG this does not
    depend on the thread that starts it; unlike a pipe, a socket is closed in every forked pool
    child (see pool_child.py), so that none keeps the process of a dead worker alive.
    """
    our_end, child_end = socket.socketpair()
    with child_end:
        process = subprocess.Popen(
            command, stdin=child_end.fileno(), stdout=subprocess.DEVNULL, stderr=stderr,
            env=trainer_environment(),
            start_new_session=True,  # a Ctrl-C for the worker must not end running trainers
        )  # fmt: skip
    return process, our_end


def trainer_environment() -> dict[str, str]:
    """Return this environment without our settings: a trainer needs no key and no store."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("TICKFORGE_") or name == "TICKFORGE_FAULTS"
    }
    return {**inherited, **ENVIRONMENT}


def spawn_trainer(server: Path, may_retry: Callable[[], bool] = lambda: True) -> TrainerProcess:
    """Return a new trainer, forked by the server that listens at `server`.

    Waits while the server is being started. Raises ForkServerUnavailable after
    READY_TIMEOUT_SECONDS, or once `may_retry` returns False.
    """
    deadline = time.monotonic() + READY_TIMEOUT_SECONDS
    while True:
        try:
            return _request_trainer(server)
        except (OSError, ValueError, IndexError) as error:  # not up yet, or it died in mid-answer
            if time.monotonic() > deadline or not may_retry():
                detail = f"the fork server gave no trainer: {error!r}"
                raise ForkServerUnavailable(detail) from error
        time.sleep(RETRY_SECONDS)


def fetch_exit_status(socket_path: Path, pid: int) -> int | None:
    """Return the wait status of a trainer that has ended; None if its fork server is gone."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(REPLY_TIMEOUT_SECONDS)
            connect(client, socket_path)
            client.sendall(b"?%d" % pid)
            return int(client.recv(32))
    except (OSError, ValueError):  # it has died, or a restarted one does not know the pid
        return None


def _request_trainer(socket_path: Path) -> TrainerProcess:
    with request_trainer(socket_path) as request:
        return receive_trainer(request)


def request_trainer(server: Path, *, warm_up: str = "") -> socket.socket:
    """Request a trainer; return the socket for `receive_trainer`. Raises OSError.

    Closed before, it ends the trainer. `warm_up`: the engine that it warms up for meanwhile.
    """
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        client.settimeout(REPLY_TIMEOUT_SECONDS)
        connect(client, server)
        client.sendall(b"1" + warm_up.encode())
    except BaseException:
        client.close()
        raise
    return client


def receive_trainer(request: socket.socket) -> TrainerProcess:
    """Receive a requested trainer. Raises OSError, ValueError or IndexError if none comes."""
    pid_text, descriptors, _, _ = socket.recv_fds(request, 64, 1)
    connection = socket.socket(fileno=descriptors[0])
    try:
        return TrainerProcess(int(pid_text), _open_pidfd(int(pid_text), connection), connection)
    except BaseException:
        connection.close()
        raise


def connect(client: socket.socket, path: Path) -> None:
    """Connect to a path of any length; that in an address has 107 bytes at most."""
    folder = os.open(path.parent, os.O_DIRECTORY | os.O_PATH | os.O_CLOEXEC)
    try:
        client.connect(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)


def _open_pidfd(pid: int, connection: socket.socket) -> int:
    """Return a pidfd of the trainer at the other end of `connection`.

    The fork server reaps it, so its pid may be another process's by now; it is not if its end of
    the connection is still open after the pidfd is. Raises ProcessLookupError otherwise.
    """
    pidfd = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(connection, select.POLLRDHUP)
    if poll.poll(0):
        os.close(pidfd)
        raise ProcessLookupError(pid)
    return pidfd
