"""One child process: started, watched, started again, ended. Knows no store, API or worker."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

PR_SET_PDEATHSIG = 1
#: seconds before a dead child is started again: doubled each time it dies young
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
#: seconds of life after which a child counts as healthy and its pause begins anew
STABLE = 30.0

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Command:
    """What to run. The kernel sends `on_parent_death` when we are gone, be it by SIGKILL."""

    name: str
    argv: tuple[str, ...]
    folder: str
    env: Mapping[str, str] = field(repr=False)
    pass_fds: tuple[int, ...] = ()
    on_parent_death: signal.Signals = signal.SIGKILL


class Child:
    """A command's process and its own process group.

    The kernel ties the child to the *thread* that started it, not to the process: every
    method that starts must be called from the main thread.
    """

    def __init__(self, command: Command, say: Callable[[str], None]) -> None:
        self.command = command
        self.deaths = 0
        self._say = say
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._pause = FIRST_PAUSE
        self._start_at = 0.0

    @property
    def name(self) -> str:
        return self.command.name

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        parent = os.getpid()
        self._process = subprocess.Popen(
            self.command.argv,
            cwd=self.command.folder,
            env=self.command.env,
            stdin=subprocess.DEVNULL,
            stdout=2,  # our standard output holds the ready line and nothing else
            pass_fds=self.command.pass_fds,
            process_group=0,
            preexec_fn=lambda: tie_to(parent, self.command.on_parent_death),
        )
        self._started = time.monotonic()

    def tend(self) -> None:
        """See whether it died; start it again when its pause is over."""
        if self._process is not None and self._ended():
            self._bury()
        if self._process is None and time.monotonic() >= self._start_at:
            self.start()

    def gone(self) -> bool:
        """True when it has ended; what it left of its process group is then killed too."""
        if self._process is not None and self._ended():
            self._reap()
        return self._process is None

    def ask_to_end(self) -> None:
        if self._process is not None:
            self._process.terminate()

    def kill(self) -> None:
        """SIGKILL for the whole process group, and wait for the child itself."""
        if self._process is not None:
            self._reap()

    def _ended(self) -> bool:
        # WNOWAIT leaves the zombie in place: while it is there no other process can take
        # its number, so that killing its group afterwards hits nobody else.
        assert self._process is not None
        if self._process.returncode is not None:
            return True
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self._process.pid, flags) is not None

    def _reap(self) -> int:
        assert self._process is not None
        if self._process.returncode is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        code = self._process.wait()
        self._process = None
        return code

    def _bury(self) -> None:
        lived = time.monotonic() - self._started
        code = self._reap()
        if lived >= STABLE:
            self._pause = FIRST_PAUSE
        self.deaths += 1
        self._start_at = time.monotonic() + self._pause
        self._say(f"{self.name} ended ({_cause(code)}); starts again in {self._pause:g} s")
        self._pause = min(2 * self._pause, LONGEST_PAUSE)


def tie_to(parent: int, death_signal: signal.Signals) -> None:
    """In the child, before it becomes the command: end when the parent ends."""
    if _libc.prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0) != 0:
        os._exit(127)
    if os.getppid() != parent:  # it died between the fork and the line above
        os._exit(127)


def _cause(code: int) -> str:
    return f"exit {code}" if code >= 0 else signal.Signals(-code).name
