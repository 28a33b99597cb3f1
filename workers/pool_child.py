"""The start of a pool child, and the signal that drains it. Knows signals and descriptors."""

import contextlib
import os
import signal
import sys
from pathlib import Path

from workers.drain import Drain

#: descriptors that a fork copies and a child must not keep: connections and the epoll set
INHERITED_PREFIXES = ("socket:", "anon_inode:[eventpoll]")


def init(drain: Drain, parent: int) -> None:
    """Set the signals of a newly forked pool child and replace the sockets it has inherited.

    SIGUSR2 requests the drain (SIGUSR1 is billiard's soft time limit). SIGTERM and SIGQUIT end the
    child at once, which harms nothing: the store changes by single scripts, files by rename.
    Exits if `parent` is gone: Celery has the kernel kill the child with its parent, but that may
    have ended before.
    """
    if os.getppid() != parent:
        os._exit(1)
    replace_inherited_sockets()
    # the fork may have copied stderr's lock while another thread of the parent held it
    sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
    signal.signal(signal.SIGUSR2, drain.request)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)


def replace_inherited_sockets() -> None:
    """Replace every inherited socket and epoll set by /dev/null.

    A child that replaces a dead one is forked while Celery's main process is connected. A socket
    left open here would stay in the main process's epoll set after the store's next restart, and
    epoll_wait would return at once for ever. They are replaced, not closed, because Python objects
    still hold these numbers: collected later, they would close whatever had reused them.
    """
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the listing's own descriptor is gone by now
            if os.readlink(f"/proc/self/fd/{name}").startswith(INHERITED_PREFIXES):
                os.dup2(null, int(name), inheritable=False)
    os.close(null)


def drain_children() -> None:
    """Send SIGUSR2 to the pool's children: those of this process without a session of their own.

    Celery's main process does not notify its pool in a warm shutdown.
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
        return int(read_stat(pid)[1])
    return None


def read_stat(pid: int) -> list[bytes]:
    """Return the fields of a process after its command: state, parent, … Raises OSError.

    The command stands in parentheses, and may hold any bytes.
    """
    return Path(f"/proc/{pid}/stat").read_bytes().rsplit(b")", 1)[1].split()
