"""What waits in the pipes that a process reads from: for tests that hold a process still."""

import fcntl
import os
import stat
import struct
import termios
from pathlib import Path


def unread_bytes(pid: int) -> int:
    """Return how much was written to a process's pipes and not yet read by it."""
    return sum(map(_waiting, filter(_is_read_end, Path(f"/proc/{pid}/fd").iterdir())))


def _is_read_end(link: Path) -> bool:
    mode = stat.S_IMODE(link.lstat().st_mode)  # of the link: how the descriptor was opened
    return link.is_fifo() and bool(mode & stat.S_IRUSR)


def _waiting(link: Path) -> int:
    descriptor = os.open(link, os.O_RDONLY | os.O_NONBLOCK)
    try:
        (count,) = struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4)))
    finally:
        os.close(descriptor)
    return int(count)
