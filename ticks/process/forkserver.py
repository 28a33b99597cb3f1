"""The template: a process with torch imported that forks a trainer for whoever asks.

    python -m ticks.process.forkserver PATH

Listens on a unix socket at PATH. A request is one of two:

    1       fork a trainer; the answer is its pid as text, with one end of a socket pair, its leash
    ?PID    how did that trainer end? The answer is its wait status as text, or - for not known

Its own leash is its standard input, a socket: when the other end is gone it ends (and no trainer
with it).

It runs no operator and has one thread. After one operator with two threads, every later child that
uses two threads waits for ever for a pool of threads that fork did not copy.
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

# torch's first optimizer would import torch._dynamo, for more than a second, in every trainer, and
# the first state that is saved numpy.ctypeslib, for some milliseconds.
import numpy.ctypeslib  # noqa: F401
import torch._dynamo  # noqa: F401

from jobs import fault_points
from models import checkpoint_source
from ticks.engines.graph import build_loop
from ticks.process import commands

REQUEST_TIMEOUT_SECONDS = 1.0  # for a client to say what it wants; no other is served meanwhile
MAX_STATUSES = 64  # trainers whose end is remembered
#: added to a trainer's badness: where memory runs out the kernel ends it, not the store or a worker
OOM_SCORE = "500"


def main(path: str) -> None:
    """Serve until the leash is cut."""
    thread_count = len(os.listdir("/proc/self/task"))
    assert thread_count == 1, f"the template must have one thread, not {thread_count}"
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)  # for trainers too; a script's job has it ignored
    if fault_points.is_armed():
        print(fault_points.ARMED_WARNING, file=sys.stderr)
    fault_points.hit("template:start")
    preload()
    gc.collect()
    gc.freeze()  # what was imported is never collected, so that its pages stay shared
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        listener.listen(8)
        serve(listener, ChildRegistry())


def preload() -> None:
    """Read once what every trainer would read for itself; no operator is among it."""
    build_loop.object_key()
    for family in checkpoint_source.MODULES:
        checkpoint_source.join_modules(family)


def serve(listener: socket.socket, children: "ChildRegistry") -> None:
    """Answer client after client, and reap trainers as they end, until the leash is cut."""
    while True:
        ready = select.select([listener.fileno(), children.wakeup_receiver.fileno(), 0], [], [])[0]
        if 0 in ready:
            return children.close()
        children.reap()
        if listener.fileno() in ready:
            client, _ = listener.accept()
            with client, contextlib.suppress(OSError, ValueError):  # gone, or none of ours
                handle_client(listener, client, children)


class ChildRegistry:
    """The trainers that were forked: reaped as they end, how each ended kept for a while.

    `ended` can be read from when one has ended.
    """

    def __init__(self) -> None:
        self.wakeup_receiver, self._wakeup_sender = socket.socketpair()
        self.wakeup_receiver.setblocking(False)
        self._wakeup_sender.setblocking(False)
        self._statuses: dict[int, int] = {}
        signal.signal(signal.SIGCHLD, lambda *_signal: None)  # one that is ignored tells no status
        signal.set_wakeup_fd(self._wakeup_sender.fileno(), warn_on_full_buffer=False)

    def reap(self) -> None:
        """Take note of all that have ended."""
        with contextlib.suppress(BlockingIOError):
            self.wakeup_receiver.recv(4096)
        with contextlib.suppress(ChildProcessError):
            while (wait_result := os.waitpid(-1, os.WNOHANG))[0]:
                self._statuses.pop(wait_result[0], None)
                self._statuses[wait_result[0]] = wait_result[1]
        while len(self._statuses) > MAX_STATUSES:
            del self._statuses[next(iter(self._statuses))]

    def status(self, pid: int) -> int | None:
        """The wait status of one that has ended."""
        return self._statuses.get(pid)

    def close(self) -> None:
        """Take note of no more; in a fresh trainer the others are none of its own."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self.wakeup_receiver.close()
        self._wakeup_sender.close()


def handle_client(listener: socket.socket, client: socket.socket, children: ChildRegistry) -> None:
    """Fork a trainer for one client and hand it the pid and the leash; or say how one ended."""
    client.settimeout(REQUEST_TIMEOUT_SECONDS)
    request = client.recv(32)
    if request[:1] == b"?":
        status = children.status(int(request[1:]))
        client.sendall(b"-" if status is None else str(status).encode())
    elif request:
        fork_trainer(listener, client, children)


def fork_trainer(listener: socket.socket, client: socket.socket, children: ChildRegistry) -> None:
    """Make a trainer for one client."""
    parent_end, child_end = socket.socketpair()
    with parent_end, child_end:
        pid = os.fork()
        if pid == 0:
            children.close()
            become_trainer(child_end, inherited_sockets=(listener, client, parent_end))
        socket.send_fds(client, [str(pid).encode()], [parent_end.fileno()])


def become_trainer(connection: socket.socket, inherited_sockets: tuple[socket.socket, ...]) -> None:
    """Go on as a trainer; never returns."""
    exit_code = 1
    try:
        for (
            inherited
        ) in inherited_sockets:  # whatever stays open here keeps somebody else's leash alive
            inherited.close()
        null_descriptor = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null_descriptor, 0)
        os.close(null_descriptor)
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text(OOM_SCORE)
        faulthandler.enable(all_threads=False)  # a crash in C says where, in the job's log
        commands.serve(connection)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(exit_code)


if __name__ == "__main__":
    main(sys.argv[1])
