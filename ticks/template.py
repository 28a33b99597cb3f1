"""The template: a process with torch imported that forks a trainer for whoever asks.

    python -m ticks.template PATH

Listens on a unix socket at PATH. A request is one byte; the answer is the trainer's pid as text,
with one end of a socket pair, the trainer's leash. Its own leash is its standard input, a socket:
when the other end is gone it ends (and no trainer with it).

It runs no operator and has one thread. After one operator with two threads, every later child that
uses two threads waits for ever for a pool of threads that fork did not copy.
"""

import contextlib
import gc
import os
import select
import signal
import socket
import sys
import traceback

# torch's first optimizer would import torch._dynamo, for more than a second, in every trainer.
import torch._dynamo  # noqa: F401

from ticks import commands

ASK_SECONDS = 1.0  # for a client to say its one byte; no other is served meanwhile


def main(path: str) -> None:
    """Serve until the leash is cut."""
    threads = len(os.listdir("/proc/self/task"))
    assert threads == 1, f"the template must have one thread, not {threads}"
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps; who must know has a pidfd
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.collect()
    gc.freeze()  # what was imported is never collected, so that its pages stay shared
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(path)
        server.listen(8)
        while 0 not in select.select([server.fileno(), 0], [], [])[0]:
            client, _ = server.accept()
            with client, contextlib.suppress(OSError):  # a client that is gone harms nobody
                answer(server, client)


def answer(server: socket.socket, client: socket.socket) -> None:
    """Fork a trainer for one client and hand it the pid and the leash."""
    client.settimeout(ASK_SECONDS)
    if not client.recv(1):
        return
    leash, its_end = socket.socketpair()
    with leash, its_end:
        pid = os.fork()
        if pid == 0:
            become_trainer(its_end, others=(server, client, leash))
        socket.send_fds(client, [str(pid).encode()], [leash.fileno()])


def become_trainer(leash: socket.socket, others: tuple[socket.socket, ...]) -> None:
    """Go on as a trainer; never returns."""
    code = 1
    try:
        for other in others:  # whatever stays open here keeps somebody else's leash alive
            other.close()
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        commands.serve(leash)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


if __name__ == "__main__":
    main(sys.argv[1])
