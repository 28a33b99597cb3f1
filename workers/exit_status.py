"""Descriptions of how a trainer's process ended, for the job's record. Knows no job."""

import os
import signal
from pathlib import Path

VMSTAT = Path("/proc/vmstat")


def describe_exit(status: int | None, *, out_of_memory: bool = False) -> str:
    """Describe a wait status; None if it is unknown.

    `out_of_memory`: the kernel's OOM killer was active meanwhile.
    """
    if status is None:
        return "the trainer ended without a word: killed, or out of memory"
    if not os.WIFSIGNALED(status):
        return f"the trainer ended by itself with exit code {os.waitstatus_to_exitcode(status)}"
    signal_number = os.WTERMSIG(status)
    message = f"the trainer was killed by {_signal_name(signal_number)}"
    if signal_number != signal.SIGKILL:
        return message
    if out_of_memory:
        return f"{message}: the kernel was killing for want of memory"
    return f"{message}: by hand, or by the kernel for want of memory"


def count_oom_kills() -> int:
    """Return how many processes this machine's OOM killer has killed; 0 if unknown."""
    try:
        lines = VMSTAT.read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
    except (OSError, StopIteration, ValueError):
        return 0


def _signal_name(signal_number: int) -> str:
    try:
        return signal.Signals(signal_number).name
    except ValueError:  # a real-time signal
        return f"signal {signal_number}"
