"""Whole services as marked processes: started, looked at, killed by their role. Knows no fault."""

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
MARK = "FAULTS_MARK"  # an environment variable that every process of one test has
LEASE = "2"


class Marked:
    """Every living process that was started, by whomever, under one mark."""

    def __init__(self) -> None:
        self.mark = secrets.token_hex(8)

    def environment(self, folder: Path, **more: str) -> dict[str, str]:
        """What a first process of this mark gets."""
        names = ("PATH", "HOME", "XDG_CACHE_HOME")  # compiled engines are found again
        kept = {name: os.environ[name] for name in names if name in os.environ}
        ours = {"TICKFORGE_LEASE_SECONDS": LEASE, "XDG_CONFIG_HOME": str(folder / "config")}
        return {**kept, **ours, MARK: self.mark, **more}

    def alive(self) -> list[psutil.Process]:
        """Those that run now; a zombie does not."""
        return [each for each in psutil.process_iter() if self._is_ours(each)]

    def role(self, name: str) -> list[psutil.Process]:
        """Those of a role: serve, store, api, worker, child, template, trainer, compiler."""
        return [each for each in self.alive() if role_of(each) == name]

    def kill(self, *roles: str) -> None:
        """SIGKILL all of these roles at once, the first named first."""
        for process in [each for role in roles for each in self.role(role)]:
            send(process, signal.SIGKILL)

    def end(self) -> None:
        """Kill them all, and remove the private folders that killed workers leave."""
        alive = self.alive()
        desks = [Path(each.cmdline()[-1]).parent for each in alive if role_of(each) == "template"]
        for process in alive:
            send(process, signal.SIGKILL)
        psutil.wait_procs(alive, 5)
        for desk in desks:
            shutil.rmtree(desk, ignore_errors=True)

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            ours = process.environ().get(MARK) == self.mark
            return bool(ours and process.status() != psutil.STATUS_ZOMBIE)
        except psutil.Error:
            return False


def role_of(process: psutil.Process) -> str:
    """Return what a process is in our tree, by its command line and its parent's."""
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


def send(process: psutil.Process, number: signal.Signals) -> None:
    """Send a signal to a process that may have gone."""
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)


class Serving:
    """A serve.py under attack, on a data folder that outlives it."""

    def __init__(self, folder: Path, *, workers: int = 1, **env: str) -> None:
        self.folder, self.marked = folder, Marked()
        self._argv = ["--port", "0", "--data", str(folder / "data"), "--workers", str(workers)]
        self._env = env
        self._process: subprocess.Popen[str] | None = None
        self.said = ""

    def start(self) -> None:
        """Start it and wait for its ready line."""
        with (self.folder / "stderr").open("a") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, "serve.py", *self._argv],
                cwd=ROOT,
                env=self.marked.environment(self.folder, **self._env),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        assert self._process.stdout is not None
        self.said = self._process.stdout.readline()
        assert self.said.startswith("tickforge ready http"), (self.folder / "stderr").read_text()

    @property
    def url(self) -> str:
        return self.said.split()[-1]

    @property
    def http(self) -> httpx.Client:
        """A client with the admin key that serve.py made."""
        key = (self.folder / "data" / "admin.key").read_text().strip()
        headers = {"Authorization": f"Bearer {key}"}
        # plain HTTP: no certificates are loaded, which would cost 22 ms a client
        return httpx.Client(base_url=self.url, headers=headers, timeout=10, verify=False)

    def stop(self) -> tuple[int, float, str]:
        """SIGTERM: the exit code, the seconds it took, and what else it printed."""
        assert self._process is not None and self._process.stdout is not None
        began = time.monotonic()
        self._process.terminate()
        rest = self._process.stdout.read()
        self._process.stdout.close()
        return self._process.wait(30), time.monotonic() - began, rest

    def kill(self) -> None:
        """SIGKILL serve.py alone, and wait until all that was its has gone."""
        assert self._process is not None and self._process.stdout is not None
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()
        wait_until(lambda: not self.marked.alive(), 10, "the end of what serve.py had started")

    def end(self) -> None:
        """Leave nothing, however the test ended."""
        self.marked.end()
        if self._process is not None:
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
        if (note := self.folder / "data" / "store.socket").exists():
            shutil.rmtree(note.read_text().strip(), ignore_errors=True)


@contextmanager
def serving(folder: Path, **how: Any) -> Iterator[Serving]:
    """A running service, and nothing of it afterwards."""
    service = Serving(folder, **how)
    try:
        service.start()
        yield service
    finally:
        service.end()
