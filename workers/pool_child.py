"""What a pool child does at its start and is told at its end. Knows signals and descriptors."""

import contextlib
import os
import signal
import sys
from pathlib import Path

from workers.drain import Drain

#: what may not be kept of what a fork copied: the other process's connections, and its epoll set
INHERITED_PREFIXES = ("socket:", "anon_inode:[eventpoll]")


def init(drain: Drain, parent: int) -> None:
    """Make a freshly forked pool child its own process: no inherited connection, its own signals.

    SIGUSR2 asks for the drain (SIGUSR1 is billiard's soft time limit). SIGTERM and SIGQUIT end the
    child at once, which harms nothing: the store changes by single scripts, files by rename.
    Celery has just asked the kernel to kill it when its parent is gone; the parent may have been
    gone by then.
    """
    if os.getppid() != parent:
        os._exit(1)
    replace_inherited_sockets()
    # The fork may have copied the old one's lock while another thread of the parent held it.
    sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
    signal.signal(signal.SIGUSR2, drain.request)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)


def replace_inherited_sockets() -> None:
    """Put /dev/null in the place of every inherited socket and epoll set.

    A child that replaces a dead one is forked while Celery's main process is connected. A socket
    it kept would stay alive inside the main process's epoll set after the store's next restart,
    and epoll_wait would return at once for ever. They are replaced and not closed because Python
    objects still name these numbers: collected later, they would close whatever had got them.
    """
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the listing's own descriptor is gone by now
            if os.readlink(f"/proc/self/fd/{name}").startswith(INHERITED_PREFIXES):
                os.dup2(null, int(name), inheritable=False)
    os.close(null)


def drain_children() -> None:
    """Send SIGUSR2 to every child of this process that has no session of its own: to the pool's.

    Celery's main process tells its pool nothing in a warm shutdown.
    """
    for pid in child_pids():
        with contextlib.suppress(ProcessLookupError):
            if os.getsid(pid) == os.getsid(0):
                os.kill(pid, signal.SIGUSR2)


def child_pids() -> list[int]:
    """Return the ids of this process's children."""
    return [pid for pid in _all_pids() if _parent_pid(pid) == os.getpid()]


def _all_pids() -> list[int]:
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]


def _parent_pid(pid: int) -> int | None:
    with contextlib.suppress(OSError):  # gone in the meantime
        # the command, in parentheses, may hold anything; the parent is the second field after it
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    return None
