"""Runs a Python program in a fork of this process, whose imported modules it shares.

A program is a package that `python -m` runs too. Its `__main__` has two functions: `preload()`
imports what the program would otherwise import at first use, and starts nothing;
`main(argv, environ)` runs it and returns the exit code.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import signal
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, NoReturn

from serving.parent_death import set_parent_death_signal
from serving.process_title import set_process_title

#: numpy's BLAS would start a thread for each core when it is imported
SINGLE_THREADED = {"OPENBLAS_NUM_THREADS": "1"}
#: of the tests: Celery and kombu import them where they are installed, and nothing here uses them
UNUSED_PACKAGES = ("psutil", "yaml")


def preload(programs: Iterable[str]) -> None:
    """Import all modules of these programs, so that they are shared with every later fork."""
    inherited = {name: os.environ.get(name) for name in SINGLE_THREADED}
    os.environ.update(SINGLE_THREADED)
    with _hidden(UNUSED_PACKAGES):
        for program in programs:
            _main_module(program).preload()
    for name, value in inherited.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value
    gc.collect()
    gc.freeze()  # a collection writes to each object it looks at, and what is written is not shared
    # It counts as a reference to 4,096 names of attributes, and a child writes to each it replaces
    sys._clear_type_cache()


@contextlib.contextmanager
def _hidden(packages: Iterable[str]) -> Iterator[None]:
    """Let imports of these packages fail as if they were not installed."""
    hidden = [name for name in packages if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


def _main_module(program: str) -> Any:
    return import_module(f"{program}.__main__")


class ForkedProcess:
    """A forked child, with those attributes of subprocess.Popen that its owner uses."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def terminate(self) -> None:
        """Send SIGTERM; only this object reaps the process, so its id is not another's."""
        if self.returncode is None:
            os.kill(self.pid, signal.SIGTERM)

    def wait(self) -> int:
        """Wait for its end; return the exit code, or the negative number of a signal."""
        if self.returncode is None:
            self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.returncode


@dataclass(frozen=True)
class ForkedProgram:
    """A program to run in a fork of this process, in a folder, with arguments and environment.

    `pass_fds` are the descriptors above 2 that it keeps.
    """

    name: str
    package: str
    arguments: tuple[str, ...]
    folder: str
    env: Mapping[str, str] = field(repr=False)
    pass_fds: tuple[int, ...] = ()

    @property
    def argv(self) -> tuple[str, ...]:
        """The command line that would start it alone, and that `ps` shows."""
        return (sys.executable, "-m", self.package, *self.arguments)

    def start(self) -> ForkedProcess:
        """Fork, in a process group of its own; the kernel kills the child when we die.

        This process must have one thread, or the child could wait for ever for a lock that another
        thread held.
        """
        thread_count = len(os.listdir("/proc/self/task"))
        assert thread_count == 1, f"a process that forks must have one thread, not {thread_count}"
        parent = os.getpid()
        # A signal that comes before the child has reset our handlers must wait, not run them.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            pid = os.fork()
            if pid == 0:
                _become_program(self, parent, mask)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        with contextlib.suppress(ProcessLookupError):  # … and by the child: whoever is first
            os.setpgid(pid, pid)
        return ForkedProcess(pid)


def _become_program(program: ForkedProgram, parent: int, mask: Iterable[int]) -> NoReturn:
    """Continue as the program in the forked child. Also ends what the program itself forks."""
    code = 1
    try:
        set_parent_death_signal(parent, signal.SIGKILL)
        os.setpgid(0, 0)
        _reset_signals()
        _reset_descriptors(program.pass_fds)
        _reset_environment(program)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        code = _main_module(program.package).main(program.arguments, os.environ)
    except SystemExit as stop:
        code = _exit_code(stop)
    except BaseException:
        traceback.print_exc()
    finally:
        _end_process(code)


def _reset_signals() -> None:
    """Set each signal that has a handler of ours back to what a new Python has."""
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _reset_descriptors(pass_fds: Sequence[int]) -> None:
    """Read from /dev/null, write to standard error, and close all else that is not to be kept.

    Objects that own closed descriptors are never collected: frames below us refer to them.
    """
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)  # standard output is for the ready line only
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) not in pass_fds:
            with contextlib.suppress(OSError):  # the listing's own descriptor is gone by now
                os.close(int(name))


def _reset_environment(program: ForkedProgram) -> None:
    os.chdir(program.folder)
    os.environ.clear()
    os.environ.update(program.env)
    sys.argv = [str(_main_module(program.package).__file__), *program.arguments]
    try:
        set_process_title(program.argv, program.env)
    except OSError as error:
        print(f"{program.package}: ps shows serve.py's command line: {error}", file=sys.stderr)


def _exit_code(stop: SystemExit) -> int:
    """Return the exit code that Python gives a SystemExit."""
    if stop.code is None or isinstance(stop.code, int):
        return stop.code or 0
    print(stop.code, file=sys.stderr)
    return 1


def _end_process(code: int) -> NoReturn:
    """End without returning into the frames of the parent, whose files and locks are not ours."""
    try:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)
