"""Ties a process's life to its parent's, by the kernel. Linux only."""

from __future__ import annotations

import ctypes
import os
import signal

PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


def set_parent_death_signal(parent: int, death_signal: signal.Signals) -> None:
    """In a new child, have the kernel send `death_signal` when the parent dies."""
    code = _libc.prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
    if code != 0 or os.getppid() != parent:  # … or the parent died before that call
        os._exit(127)
