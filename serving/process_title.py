"""Gives a forked process the command line and environment that `ps` and /proc show. Linux only."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

PR_SET_MM, PR_SET_MM_MAP = 35, 14
NO_FILE = 0xFFFFFFFF  # exe_fd: the executable stays what it is
#: field of prctl_mm_map: its number in /proc/self/stat, counted from 1
STAT_FIELDS = {
    "start_code": 26, "end_code": 27, "start_stack": 28, "start_data": 45, "end_data": 46,
    "start_brk": 47,
}  # fmt: skip

_libc = ctypes.CDLL(None, use_errno=True)
_libc.sbrk.restype, _libc.sbrk.argtypes = ctypes.c_void_p, [ctypes.c_ssize_t]
_shown_texts: list[ctypes.Array[ctypes.c_char]] = []  # the kernel reads them while we live


class MemoryMap(ctypes.Structure):
    """The kernel's `struct prctl_mm_map`."""

    _fields_ = [
        *((name, ctypes.c_uint64) for name in (
            "start_code", "end_code", "start_data", "end_data", "start_brk", "brk", "start_stack",
            "arg_start", "arg_end", "env_start", "env_end", "auxv",
        )),
        ("auxv_size", ctypes.c_uint32),
        ("exe_fd", ctypes.c_uint32),
    ]  # fmt: skip


def set_process_title(argv: Sequence[str], env: Mapping[str, str]) -> None:
    """Show `argv` as this process's command line and `env` as its environment.

    Without it a forked process shows its parent's: which child is which could not be told, and a
    secret that only the parent has would stand in the child's environment. Raises OSError where
    the kernel refuses it (one without CONFIG_CHECKPOINT_RESTORE).
    """
    stat = Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()
    memory = MemoryMap(exe_fd=NO_FILE)
    for name, number in STAT_FIELDS.items():
        setattr(memory, name, int(stat[number - 3]))  # the split begins at the third field
    memory.arg_start, memory.arg_end = _keep_text(argv)
    memory.env_start, memory.env_end = _keep_text(f"{name}={env[name]}" for name in env)
    size, reference = ctypes.sizeof(memory), ctypes.byref(memory)
    memory.brk = _libc.sbrk(0)  # last: an allocation may move it
    if _libc.prctl(PR_SET_MM, PR_SET_MM_MAP, reference, size, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _keep_text(parts: Iterable[str]) -> tuple[int, int]:
    """Store strings, each with a final zero byte; return where they begin and end."""
    text = b"".join(os.fsencode(part) + b"\0" for part in parts)
    buffer = ctypes.create_string_buffer(text, len(text))
    _shown_texts.append(buffer)
    return ctypes.addressof(buffer), ctypes.addressof(buffer) + len(text)
