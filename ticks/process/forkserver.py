"""The fork server: a process with torch imported that forks a trainer for each request.

    python -m ticks.process.forkserver PATH

Listens on a unix socket at PATH. A request is one of two:

    1ENGINE fork a trainer; the reply is its pid as text, with one end of its socket pair. With an
            engine's name it is for a later job, and warms up for that engine
    ?PID    how did that trainer end? The reply is its wait status as text, or - if not known

Standard input is a socket: when its other end closes, the fork server ends, but no trainer. A
trainer ends when the other end of its own socket pair closes.

It runs no operator and has one thread: after an operator with two threads, every child with two
threads would wait forever for a thread pool that fork did not copy. It never touches CUDA either: a
context, and even counting the devices through CUDA's runtime, leaves every fork without a GPU.
"""

import contextlib
import faulthandler
import gc
import os
import select
import signal
import socket
import sys
import traceback
from pathlib import Path

# Otherwise every trainer would import it with its first saved state (some milliseconds).
import numpy.ctypeslib  # noqa: F401
import torch

from jobs import fault_points
from models import checkpoint_source
from ticks.engines.graph import build_loop
from ticks.process import commands
from ticks.process.huge_pages import collapse_private_memory

REQUEST_TIMEOUT_SECONDS = 1.0  # for a client's request; no other client is served meanwhile
MAX_STATUSES = 64  # ended trainers whose wait status is remembered
#: a trainer's oom_score_adj: out of memory, the kernel kills it before the store or a worker
OOM_SCORE = "500"


def main(path: str) -> None:
    """Serve until the other end of standard input closes."""
    thread_count = len(os.listdir("/proc/self/task"))
    assert thread_count == 1, f"the fork server must have one thread, not {thread_count}"
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)  # for trainers too; a script's job has it ignored
    if fault_points.is_armed():
        print(fault_points.ARMED_WARNING, file=sys.stderr)
    fault_points.hit("template:start")
    preload()
    gc.collect()
    gc.freeze()  # imported objects are never collected, so their pages stay shared
    collapse_private_memory()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        bind(listener, path)
        listener.listen(8)
        serve(listener, ChildRegistry())


def bind(listener: socket.socket, path: str) -> None:
    """Bind to a path of any length; that in an address has 107 bytes at most."""
    folder = os.open(os.path.dirname(path), os.O_DIRECTORY | os.O_PATH)
    try:
        listener.bind(f"/proc/self/fd/{folder}/{os.path.basename(path)}")
    finally:
        os.close(folder)


def preload() -> None:
    """Read once what every child would otherwise read itself; runs no operator."""
    build_loop.object_key()
    for family in checkpoint_source.MODULES:
        checkpoint_source.compile_family(family)


def serve(listener: socket.socket, children: "ChildRegistry") -> None:
    """Serve clients one by one and reap trainers until the other end of standard input closes."""
    while True:
        ready = select.select([listener.fileno(), children.wakeup_receiver.fileno(), 0], [], [])[0]
        if 0 in ready:
            return children.close()
        children.reap()
        if listener.fileno() in ready:
            client, _ = listener.accept()
            # it may have left, or sent no request
            with client, contextlib.suppress(OSError, ValueError):
                handle_client(listener, client, children)


class ChildRegistry:
    """Reaps the trainers as they end, and remembers the wait status of the last MAX_STATUSES.

    `wakeup_receiver` becomes readable when a trainer has ended.
    """

    def __init__(self) -> None:
        self.wakeup_receiver, self._wakeup_sender = socket.socketpair()
        self.wakeup_receiver.setblocking(False)
        self._wakeup_sender.setblocking(False)
        self._statuses: dict[int, int] = {}
        signal.signal(signal.SIGCHLD, lambda *_signal: None)  # ignored, it would lose the status
        signal.set_wakeup_fd(self._wakeup_sender.fileno(), warn_on_full_buffer=False)

    def reap(self) -> None:
        """Store the wait status of all trainers that have ended."""
        with contextlib.suppress(BlockingIOError):
            self.wakeup_receiver.recv(4096)
        with contextlib.suppress(ChildProcessError):
            while (wait_result := os.waitpid(-1, os.WNOHANG))[0]:
                self._statuses.pop(wait_result[0], None)
                self._statuses[wait_result[0]] = wait_result[1]
        while len(self._statuses) > MAX_STATUSES:
            del self._statuses[next(iter(self._statuses))]

    def status(self, pid: int) -> int | None:
        """Return an ended trainer's wait status, or None if it is not known."""
        return self._statuses.get(pid)

    def close(self) -> None:
        """Stop reaping; also called in a forked trainer, which has no children."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self.wakeup_receiver.close()
        self._wakeup_sender.close()


def handle_client(listener: socket.socket, client: socket.socket, children: ChildRegistry) -> None:
    """Serve one client's request: fork a trainer, or reply how one ended."""
    client.settimeout(REQUEST_TIMEOUT_SECONDS)
    request = client.recv(32)
    if request[:1] == b"?":
        status = children.status(int(request[1:]))
        client.sendall(b"-" if status is None else str(status).encode())
    elif request:
        fork_trainer(listener, client, children, warm_up=request[1:].decode())


def fork_trainer(
    listener: socket.socket, client: socket.socket, children: ChildRegistry, *, warm_up: str
) -> None:
    """Fork a trainer; send its pid and the parent's end of its socket pair to the client."""
    has_context = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    assert not has_context, "a fork of a process with a CUDA context has no GPU"
    parent_end, child_end = socket.socketpair()
    with parent_end, child_end:
        pid = os.fork()
        if pid == 0:
            children.close()
            inherited_sockets = (listener, client, parent_end)
            become_trainer(child_end, inherited_sockets, warm_up)
        child_end.close()  # first, so that the client can tell by its end whether the trainer lives
        socket.send_fds(client, [str(pid).encode()], [parent_end.fileno()])


def become_trainer(
    connection: socket.socket, inherited_sockets: tuple[socket.socket, ...], warm_up: str
) -> None:
    """Continue as a trainer in the forked child; never returns."""
    try:
        # An end left open here would hide from other processes that its owner has ended.
        for inherited in inherited_sockets:
            inherited.close()
        null_descriptor = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null_descriptor, 0)
        os.close(null_descriptor)
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text(OOM_SCORE)
        faulthandler.enable(all_threads=False)  # a crash in C says where, in the job's log
        commands.serve(connection, warm_up)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1])
