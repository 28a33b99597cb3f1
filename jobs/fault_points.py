"""Fault points: named places in the code where a test can make a process fail.

Off unless TICKFORGE_FAULTS names a folder, read when this module is imported. Each file in it is
one armed fault (JSON: `Fault`). The first process that reaches its point often enough renames the
file, which only one can, and fails; so each fault happens once, and the folder shows which did. One
that is `lasting` happens at every passage from then on, in every process, until its file is gone.
Knows nothing of what it breaks.
"""

import errno
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypedDict

Action = Literal[
    "kill", "stop", "term", "quit", "segv", "delay", "block", "raise",
    "enospc", "erofs", "eacces", "eio",
]  # fmt: skip
SIGNALS = {
    "kill": signal.SIGKILL,
    "stop": signal.SIGSTOP,
    "term": signal.SIGTERM,
    "quit": signal.SIGQUIT,
    "segv": signal.SIGSEGV,
}
#: errors of a disk that an action raises as the kernel would
ERRNOS = {
    "enospc": errno.ENOSPC,
    "erofs": errno.EROFS,
    "eacces": errno.EACCES,
    "eio": errno.EIO,
}
ARMED_SUFFIX, FIRED_SUFFIX = ".fault", ".fired"
RELEASE_POLL_SECONDS = 0.01
ARMED_WARNING = "fault points are armed: this process can be made to fail (TICKFORGE_FAULTS)"


class Fault(TypedDict, total=False):
    """One armed fault.

    `nth`: fires when a process reaches the point for the n-th time (default 1); `at`: fires at this
    number (a tick) of the point instead; `job`: only in a process that works for this job, or for
    none (null); `seconds`: length of a delay. A `block` lasts until the fired fault's file is gone.
    """

    point: str
    action: Action
    nth: int
    at: int
    job: str | None
    seconds: float
    lasting: bool


class InjectedFault(RuntimeError):
    """Raised by the action `raise`; no code expects it."""


_folder_name = os.environ.get("TICKFORGE_FAULTS")
_faults_folder = Path(_folder_name) if _folder_name else None
_hit_counts: dict[str, int] = {}  # by the file of an armed fault
_current_job: str | None = None  # that this process works for
#: `job`, where a thread works for another one; `is_ignoring`, where it passes all points
_thread = threading.local()


def is_armed() -> bool:
    """Return whether faults can be armed; a process that starts so logs ARMED_WARNING."""
    return _faults_folder is not None


def set_current_job(job_id: str | None) -> None:
    """Set the job that the process works for, so that a fault can wait for one job."""
    global _current_job
    _current_job = job_id


@contextmanager
def working_for(job_id: str) -> Iterator[None]:
    """Inside, this thread works for a job of its own, whatever the process works for."""
    _thread.job = job_id
    try:
        yield
    finally:
        del _thread.job


@contextmanager
def ignored() -> Iterator[None]:
    """Inside, this thread passes all points: it works for no job."""
    _thread.is_ignoring = True
    try:
        yield
    finally:
        del _thread.is_ignoring


def hit(name: str, number: int | None = None) -> None:
    """Pass a fault point; `number` is its tick, if it has one. May never return."""
    if _faults_folder is None or hasattr(_thread, "is_ignoring"):
        return
    for file in _armed_files(_faults_folder):
        fault = _read_if_due(file, name, number)
        if fault is not None and (fault.get("lasting") or _claim_file(file)):
            _inject(fault, file.with_suffix(FIRED_SUFFIX))


def _armed_files(folder: Path) -> list[Path]:
    try:
        names = os.listdir(folder)
    except FileNotFoundError:  # the folder may come and go under a running service
        return []
    return [folder / name for name in sorted(names) if name.endswith(ARMED_SUFFIX)]


def _read_if_due(file: Path, name: str, number: int | None) -> Fault | None:
    """Return a file's fault if it fires now."""
    try:
        fault: Fault = json.loads(file.read_text())
    except (FileNotFoundError, ValueError):  # another process took it, or it is being written
        return None
    job = getattr(_thread, "job", _current_job)
    if fault["point"] != name or fault.get("job", job) != job:
        return None
    if "at" in fault:
        return fault if number == fault["at"] else None
    _hit_counts[file.name] = _hit_counts.get(file.name, 0) + 1
    return fault if _hit_counts[file.name] >= fault.get("nth", 1) else None


def _claim_file(file: Path) -> bool:
    try:
        os.rename(file, file.with_suffix(FIRED_SUFFIX))
    except FileNotFoundError:  # another process was quicker
        return False
    return True


def _inject(fault: Fault, fired_file: Path) -> None:
    action = fault["action"]
    if action in SIGNALS:
        os.kill(os.getpid(), SIGNALS[action])
    elif action == "delay":
        time.sleep(fault.get("seconds", 1.0))
    elif action == "block":
        while fired_file.exists():
            time.sleep(RELEASE_POLL_SECONDS)
    elif action in ERRNOS:
        raise OSError(ERRNOS[action], os.strerror(ERRNOS[action]), fault["point"])
    else:
        raise InjectedFault(f"{fault['point']}: injected")
