"""Whole services as marked processes: started, found, and killed by their role. Knows no fault."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil

from faults.waits import wait_until

ROOT = Path(__file__).parent.parent
MARK_VARIABLE = "FAULTS_MARK"  # an environment variable that every process of one test has
LEASE_SECONDS = "3"  # a busy machine may hold a heartbeat up for longer than one


def inherited_environment(*more: str) -> dict[str, str]:
    """Return what a child may know of our environment: programs, caches of engines, and `more`."""
    names = ("PATH", "HOME", "XDG_CACHE_HOME", *more)
    return {name: os.environ[name] for name in names if name in os.environ}


class MarkedProcesses:
    """All living processes that were started under one mark, by any of them."""

    def __init__(self) -> None:
        self.mark = secrets.token_hex(8)

    def make_environment(self, folder: Path, **extra: str) -> dict[str, str]:
        """Return the environment of a first process with this mark."""
        env = inherited_environment()
        env |= {"TICKFORGE_LEASE_SECONDS": LEASE_SECONDS, "XDG_CONFIG_HOME": str(folder / "config")}
        return {**env, MARK_VARIABLE: self.mark, **extra}

    def living_processes(self) -> list[psutil.Process]:
        """Return the processes that run; zombies do not count."""
        return [process for process in psutil.process_iter() if self._has_mark(process)]

    def processes_of(self, name: str) -> list[psutil.Process]:
        """Return those of a role: serve, store, api, worker, child, template, trainer, compiler."""
        return [process for process in self.living_processes() if role_of(process) == name]

    def kill(self, *roles: str) -> None:
        """Send SIGKILL to all processes of these roles, the first named role first."""
        for process in [candidate for role in roles for candidate in self.processes_of(role)]:
            send_signal(process, signal.SIGKILL)

    def kill_all(self) -> None:
        """Kill all processes, and remove the private folders that killed workers leave."""
        alive = self.living_processes()
        fork_servers = [process for process in alive if role_of(process) == "template"]
        worker_folders = [Path(process.cmdline()[-1]).parent for process in fork_servers]
        for process in alive:
            send_signal(process, signal.SIGKILL)
        psutil.wait_procs(alive, 5)
        for folder in worker_folders:
            shutil.rmtree(folder, ignore_errors=True)

    def _has_mark(self, process: psutil.Process) -> bool:
        try:
            has_mark = process.environ().get(MARK_VARIABLE) == self.mark
            return bool(has_mark and process.status() != psutil.STATUS_ZOMBIE)
        except psutil.Error:
            return False


def role_of(process: psutil.Process) -> str:
    """Return the role of a process, by its command line and its parent's."""
    try:
        line, parent = " ".join(process.cmdline()), process.parent()
        above = " ".join(parent.cmdline()) if parent else ""
    except psutil.Error:
        return "gone"
    if "ticks.engines" in line or "making-" in f"{line} {above}":
        return "compiler"
    if "ticks.process.forkserver" in line:
        return "trainer" if "ticks.process.forkserver" in above else "template"
    if "-m workers" in line:
        return "child" if "-m workers" in above else "worker"
    if "-m api" in line:
        return "api"
    return "serve" if "serve.py" in line else "store"


def send_signal(process: psutil.Process, number: signal.Signals) -> None:
    """Send a signal to a process that may have ended."""
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)


class ServiceProcess:
    """A serve.py that can be attacked, on a data folder that outlives it."""

    def __init__(self, folder: Path, *, workers: int = 1, **env: str) -> None:
        self.folder, self.processes = folder, MarkedProcesses()
        options = ["--port", "0", "--data", str(folder / "data"), "--workers", str(workers)]
        self._argv = [sys.executable, "serve.py", *options]
        self._env = env
        self._process: subprocess.Popen[str] | None = None
        self.ready_line = ""

    def start(self) -> None:
        """Start serve.py and wait for its ready line."""
        log = self.folder / "stderr"
        env = self.processes.make_environment(self.folder, **self._env)
        with log.open("a") as stderr:
            self._process = subprocess.Popen(
                self._argv, cwd=ROOT, env=env, text=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr,
            )  # fmt: skip
        assert self._process.stdout is not None
        self.ready_line = self._process.stdout.readline()
        assert self.ready_line.startswith("tickforge ready http"), log.read_text()

    @property
    def pid(self) -> int:
        """Return the process id of serve.py."""
        assert self._process is not None
        return self._process.pid

    @property
    def url(self) -> str:
        return self.ready_line.split()[-1]

    @property
    def http(self) -> httpx.Client:
        """Return a client with the admin key that serve.py made."""
        key = (self.folder / "data" / "admin.key").read_text().strip()
        headers = {"Authorization": f"Bearer {key}"}
        # plain HTTP: no certificates are loaded, which would cost 22 ms a client
        return httpx.Client(base_url=self.url, headers=headers, timeout=10, verify=False)

    def stop(self) -> tuple[int, float, str]:
        """Send SIGTERM; return the exit code, the seconds until the end, and further output."""
        assert self._process is not None and self._process.stdout is not None
        began = time.monotonic()
        self._process.terminate()
        rest = self._process.stdout.read()
        self._process.stdout.close()
        return self._process.wait(30), time.monotonic() - began, rest

    def kill(self) -> None:
        """Send SIGKILL to serve.py alone, and wait until all its processes have ended."""
        assert self._process is not None and self._process.stdout is not None
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()
        wait_until(lambda: not self.processes.living_processes(), 10, "the end of its processes")

    def end(self) -> None:
        """Kill whatever is left of the service."""
        self.processes.kill_all()
        if self._process is not None:
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
        if (note := self.folder / "data" / "store.socket").exists():
            shutil.rmtree(note.read_text().strip(), ignore_errors=True)


@contextmanager
def running_service(folder: Path, **options: Any) -> Iterator[ServiceProcess]:
    """Run a service; all its processes have ended afterwards."""
    service = ServiceProcess(folder, **options)
    try:
        service.start()
        yield service
    finally:
        service.end()
