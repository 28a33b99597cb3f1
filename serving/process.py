"""One child process: started, watched, restarted, ended. Knows no store, API or worker."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from jobs.backoff import Backoff
from serving.forked_program import ForkedProcess, ForkedProgram
from serving.output_lines import OutputLines
from serving.parent_death import set_parent_death_signal

#: seconds before a dead child is restarted: the first delay, and the longest
INITIAL_BACKOFF_SECONDS, MAX_BACKOFF_SECONDS = 0.1, 5.0
#: seconds of life after which a child counts as healthy and its back-off is reset
STABLE_SECONDS = 30.0


@dataclass(frozen=True)
class Command:
    """A program to execute in a folder, with an environment and open file descriptors."""

    name: str
    argv: tuple[str, ...]
    folder: str
    env: Mapping[str, str] = field(repr=False)
    pass_fds: tuple[int, ...] = ()

    def start(self) -> subprocess.Popen[bytes]:
        """Start it in a process group of its own; what it writes is to be read from its stdout."""
        parent = os.getpid()
        return subprocess.Popen(
            self.argv,
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=self.pass_fds,
            process_group=0,
            preexec_fn=lambda: set_parent_death_signal(parent, signal.SIGKILL),
        )


class Child:
    """The process of a command or of a forked program, in a process group of its own.

    The kernel kills it when we die, even by SIGKILL. It ties the child's life to the *thread* that
    started it, not to the process: call `start` and `restart_if_dead` from the main thread only.
    `on_line` gets each line that a command writes; a forked program writes to our standard error.
    """

    def __init__(
        self,
        command: Command | ForkedProgram,
        log: Callable[[str], None],
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        self.command, self.name = command, command.name
        self.deaths = 0
        self._log, self._on_line = log, on_line or log
        self._process: subprocess.Popen[bytes] | ForkedProcess | None = None
        self._output: OutputLines | None = None
        self._started_at = 0.0
        self._backoff = Backoff(INITIAL_BACKOFF_SECONDS, MAX_BACKOFF_SECONDS)
        self._restart_at = 0.0

    @property
    def pid(self) -> int | None:
        """The process id; None while there is no process."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start the process."""
        self._process = process = self.command.start()
        self._started_at = time.monotonic()
        if isinstance(process, subprocess.Popen) and process.stdout is not None:
            self._output = OutputLines(process.stdout, self._on_line)

    def restart_if_dead(self) -> None:
        """Reap the process if it has died, and restart it once the back-off is over."""
        self._forward_output()
        if self._process is not None and self._has_exited():
            self._schedule_restart()
        if self._process is None and time.monotonic() >= self._restart_at:
            try:
                self.start()
            except OSError as error:  # no memory, or no process left: this may pass
                self._wait_to_restart(f"cannot be started ({error})")

    def reap_if_exited(self) -> bool:
        """Return whether the process has ended; if so, kill the rest of its process group."""
        self._forward_output()
        if self._process is not None and self._has_exited():
            self._reap()
        return self._process is None

    def terminate(self) -> None:
        """Send SIGTERM to the process, if there is one."""
        if self._process is not None:
            self._process.terminate()

    def kill(self) -> None:
        """Send SIGKILL to the whole process group, and wait for the process itself."""
        if self._process is not None:
            self._reap()

    def _has_exited(self) -> bool:
        # WNOWAIT leaves the zombie in place: until it is reaped its pid is not reused, so
        # killing its group afterwards cannot hit another process.
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
        if self._output is not None:
            self._output.close()
            self._output = None
        return code

    def _forward_output(self) -> None:
        if self._output is not None:
            self._output.read()

    def _schedule_restart(self) -> None:
        lifetime = time.monotonic() - self._started_at
        code = self._reap()
        if lifetime >= STABLE_SECONDS:
            self._backoff.reset()
        self._wait_to_restart(f"ended ({_describe_exit(code)})")

    def _wait_to_restart(self, what_happened: str) -> None:
        self.deaths += 1
        delay = self._backoff.next_delay()
        self._restart_at = time.monotonic() + delay
        self._log(f"{self.name} {what_happened}; starts again in {delay:g} s")


def _describe_exit(code: int) -> str:
    return f"exit {code}" if code >= 0 else signal.Signals(-code).name
