"""A whole service to be attacked: its store behind a proxy, serve.py with two workers, its folders.

serve.py is the product's own; the store is started here, so that it can be killed, frozen, filled,
and cut to what it synced. Knows no attack and no invariant.
"""

import json
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx
import psutil
from redis.backoff import ConstantBackoff
from redis.exceptions import ConnectionError
from redis.retry import Retry

from faults import preload
from faults.processes import ROOT, ServiceProcess, role_of
from faults.proxy import PortFilter, Proxy
from faults.store_server import StoreServer
from faults.waits import wait_until
from jobs import celery_app
from jobs.fault_points import ARMED_SUFFIX, FIRED_SUFFIX, Fault
from jobs.files.artifacts import ArtifactStore
from jobs.settings import Settings
from jobs.store import keys
from jobs.store.connection import connect

WORKERS = 2
LEASE_SECONDS, STALL_SECONDS = 2.0, 4.0
ADMIN_KEY = "an-admin-key-of-the-fault-suite-0123456789"
#: the processes of a whole service; `api` is an arbiter and one process that answers
COMPLETE_SERVICE = {"serve": 1, "store": 1, "api": 2}
COMPLETE_SERVICE |= {"worker": WORKERS, "child": WORKERS, "template": WORKERS}


@dataclass(frozen=True)
class ArmedFault:
    """A fault that waits at a fault point."""

    fault: Fault
    file: Path

    @property
    def has_fired(self) -> bool:
        """Return whether some process has met it."""
        return self.file.with_suffix(FIRED_SUFFIX).exists()

    def disarm(self) -> None:
        """Remove it if no process has met it."""
        self.file.unlink(missing_ok=True)


class ServiceUnderTest:
    """A context in which the service runs; all its processes and files are gone afterwards."""

    def __init__(self) -> None:
        self.folder = folder = Path(tempfile.mkdtemp(prefix="tickforge-faults-"))
        self.points, self.temporary = folder / "points", folder / "tmp"
        self.points.mkdir()
        self.temporary.mkdir()
        self.preload = preload.build_preload(folder)
        self.server = StoreServer()
        self.proxy = Proxy(self.server.socket)
        self._worker_env = {"TICKFORGE_REDIS_URL": self.proxy.url}
        self._worker_env |= {"TICKFORGE_LEASE_SECONDS": str(LEASE_SECONDS)}
        self.serving = ServiceProcess(
            folder,
            workers=WORKERS,
            **self._worker_env,
            TICKFORGE_ADMIN_KEY=ADMIN_KEY,
            TICKFORGE_FAULTS=str(self.points),
            TICKFORGE_STALL_SECONDS=str(STALL_SECONDS),
            TICKFORGE_API_PROCESSES="1",
            TICKFORGE_API_THREADS="32",
            TMPDIR=str(self.temporary),
        )
        self.processes = self.serving.processes
        self.server.environ = self.processes.make_environment(folder, **self.preload.environment)
        self.store = connect(self.server.url)
        # a store that was killed a moment ago is still reading its log
        self.store.set_retry(Retry(ConstantBackoff(0.1), 30, supported_errors=(ConnectionError,)))
        env = {"TICKFORGE_REDIS_URL": self.server.url, "TICKFORGE_DATA_DIR": str(self.data)}
        self.settings = Settings.from_env(env)
        self.files = ArtifactStore(self.settings.artifacts)

    @property
    def data(self) -> Path:
        """Return the service's data folder."""
        return self.folder / "data"

    def __enter__(self) -> Self:
        try:
            self.server.start()
            self.proxy.__enter__()
            self.serving.start()
            celery_app.configure_broker(self.settings)
            self.http = self.client()
            wait_until(self.is_complete, 60, "a whole service")
        except BaseException:
            self._shut_down()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self.http.close()
        self._shut_down()

    def client(self, timeout: float = 20.0) -> httpx.Client:
        """Return a client with the admin key; its timeout is longer than the service may take."""
        headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
        return httpx.Client(
            base_url=self.serving.url, headers=headers, timeout=timeout, verify=False
        )

    def arm(self, fault: Fault) -> ArmedFault:
        """Arm a fault at its point."""
        file = self.points / f"{secrets.token_hex(6)}{ARMED_SUFFIX}"
        draft = file.with_suffix(".draft")
        draft.write_text(json.dumps(fault))
        draft.rename(file)
        return ArmedFault(fault, file)

    def disarm_unfired(self) -> None:
        """Remove the faults that have not fired; the others still show that they have."""
        for file in self.points.glob(f"*{ARMED_SUFFIX}"):
            file.unlink(missing_ok=True)

    def disarm_all(self) -> None:
        """Remove all faults, fired ones too."""
        for file in list(self.points.iterdir()):
            file.unlink(missing_ok=True)

    def read_log(self, offset: int = 0) -> tuple[list[str], int]:
        """Return the service's log from an offset on, requests left out, and the next offset.

        For a reader who looks for the cause of a violation: no check uses it.
        """
        with (self.folder / "stderr").open("rb") as log:
            log.seek(offset)
            text = log.read()
        lines = text.decode(errors="replace").splitlines()
        return [line for line in lines if "] request key=" not in line], offset + len(text)

    def processes_of(self, name: str) -> list[psutil.Process]:
        """Return the living processes of a role."""
        return self.processes.processes_of(name)

    def count_by_role(self) -> dict[str, int]:
        """Return the number of living processes by role."""
        return dict(Counter(role_of(process) for process in self.processes.living_processes()))

    def frozen_processes(self) -> list[psutil.Process]:
        """Return the processes that are stopped by SIGSTOP."""
        return [process for process in self.processes.living_processes() if _is_stopped(process)]

    def is_complete(self) -> bool:
        """Return whether every process of a whole service lives, and no trainer."""
        return self.count_by_role() == COMPLETE_SERVICE

    def runner_of(self, job_id: str) -> psutil.Process | None:
        """Return the pool child that holds a running job, or None."""
        name = self._worker_of(job_id)
        for child in self.processes_of("child"):
            parent = child.parent()
            # a dying process has no command line any more
            if name and parent is not None and parent.cmdline()[-1:] == [name]:
                return child
        return None

    def port_filter(self, *roles: str) -> PortFilter:
        """Return a test of whether a port belongs to a process that has one of these roles."""
        decisions: dict[int, bool] = {}

        def has_port(port: int) -> bool:
            if port not in decisions:
                processes = [process for role in roles for process in self.processes_of(role)]
                decisions[port] = any(port in _ports(process) for process in processes)
            return decisions[port]

        return has_port

    def start_worker(self, name: str, **env: str) -> subprocess.Popen[bytes]:
        """Start a worker beside those of serve.py, on the same store and artifacts."""
        env = {**self._worker_env, "TICKFORGE_DATA_DIR": str(self.data), **env}
        return subprocess.Popen(
            [sys.executable, "-m", "workers", "--name", name], cwd=ROOT,
            env=self.processes.make_environment(self.folder, **env),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def count_wakeups(self) -> int:
        """Return the number of wake-ups in the broker's list."""
        length: Any = self.store.llen(keys.celery_queue("cpu"))
        return int(length)

    def count_queued_jobs(self) -> int:
        """Return the number of queued jobs."""
        count: Any = self.store.zcard(keys.queued_jobs("cpu"))
        return int(count)

    def _worker_of(self, job_id: str) -> str | None:
        name: Any = self.store.hget(keys.job("default", job_id), "worker")
        return None if name is None else bytes(name).decode()

    def _shut_down(self) -> None:
        self.serving.end()
        self.proxy.__exit__(None, None, None)
        self.store.close()
        self.server.remove()
        shutil.rmtree(self.folder, ignore_errors=True)


def _is_stopped(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_STOPPED)
    except psutil.Error:
        return False


def _ports(process: psutil.Process) -> set[int]:
    try:
        connections = process.net_connections("tcp")
        return {connection.laddr.port for connection in connections if connection.laddr}
    except psutil.Error:
        return set()
