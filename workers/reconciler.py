"""The thread in a worker's main process that puts right what crashes left: a duty, a period.

It keeps the template alive, says that the worker lives, rings for jobs that nobody has heard,
moves histories that were not sealed, and has graph's loop compiled ahead. A store that is away or
slow only makes it late. Knows no job's content.
"""

import contextlib
import os
import platform
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from jobs import celery_app, logs
from jobs.errors import LeaseLost
from jobs.files.artifacts import ArtifactStore
from jobs.job import Lease
from jobs.ledger.client import JobLedger
from jobs.ledger.owner import LeaseLedger
from jobs.queries import worker_registry
from jobs.queries.jobs import JobQueries
from jobs.recording.segments import Segments
from jobs.store.codec import format_rfc3339
from jobs.store.connection import connect
from workers import memory
from workers.canaries import Canaries, torch_version
from workers.forkserver_client import ForkServerProcess, ForkServerUnavailable
from workers.prewarm import Prewarm
from workers.worker_folder import WorkerConfig

POLL_SECONDS = 0.1  # between two looks at the clock
FORKSERVER_CHECK_SECONDS = 0.2  # between two looks at the template
ORPHAN_CHECK_SECONDS = 0.5  # between two looks at the runner
WAKE_SECONDS = 1.0  # and no job is rung for more often
MAX_REGISTER_INTERVAL_SECONDS = 2.0  # at the latest; at once when a job was begun or left
REGISTER_CHECK_SECONDS = 0.2  # between two looks at whether one was
REGISTRATION_TTL_SECONDS = 7.0  # how long an announcement counts: three may be late
PREWARM_CHECK_SECONDS = 5.0
FINALIZE_SECONDS = 10.0
MAX_FINALIZE_SECONDS = 1.0  # of one round, at most: the other duties wait meanwhile
#: a template that dies at once is started again after this, doubled each time up to the longest
INITIAL_RESTART_DELAY_SECONDS, MAX_RESTART_DELAY_SECONDS = 0.2, 10.0


@dataclass
class PeriodicTask:
    """Something to be done every so often; `due` is when, by the monotonic clock."""

    name: str
    interval_seconds: float
    action: Callable[[], None]
    due_at: float = 0.0


class Reconciler:
    """A context: the thread runs inside it."""

    def __init__(self, config: WorkerConfig, forkserver: ForkServerProcess) -> None:
        self._config, self._forkserver = config, forkserver
        self._store = connect(config.settings.redis_url)
        self._ledger = JobLedger(self._store)
        self._lease_ledger = LeaseLedger(self._store, config.settings.lease_seconds)
        self._segments = Segments(
            self._ledger, self._store, ArtifactStore(config.settings.artifacts)
        )
        self._job_queries = JobQueries(self._store)
        self._canaries = Canaries(config.worker_folder, config.device)
        self._logger = logs.get_logger("reconciler", worker=config.name)
        self._versions = {
            "torch": torch_version(),
            "numpy": version("numpy"),
            "python": platform.python_version(),
        }
        self._prewarm = Prewarm()
        self._trainer_memory = memory.trainer_memory_limit(config.settings, config.queue)
        self._started_at = format_rfc3339(int(time.time() * 1000))
        self._restart_at, self._restart_delay = 0.0, INITIAL_RESTART_DELAY_SECONDS
        self._registered_job: dict[str, Any] = {}
        self._register_at = 0.0
        self._tasks = [
            PeriodicTask("template", FORKSERVER_CHECK_SECONDS, self.restart_forkserver),
            PeriodicTask("release", ORPHAN_CHECK_SECONDS, self.release_orphaned_job),
            PeriodicTask("announce", REGISTER_CHECK_SECONDS, self.register_worker),
            PeriodicTask("prewarm", PREWARM_CHECK_SECONDS, self.prewarm_graph_engine),
            PeriodicTask("ring", WAKE_SECONDS, self.wake_workers),
            PeriodicTask("seal", FINALIZE_SECONDS, self.finalize_ended_jobs),
        ]
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run_due_tasks, name="reconciler", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _at: TracebackType | None,
    ) -> None:
        self._stopped.set()
        self._thread.join(1.0)
        self._prewarm.stop()
        if self._thread.is_alive():  # in a call to a store that does not answer: no second one
            return
        try:
            worker_registry.deregister(self._store, self._config.name)
        except Exception as error:
            self._logger.warning("not withdrawn", error=repr(error))

    def restart_forkserver(self) -> None:
        """Start the template again when it has died; a running trainer does not notice."""
        now = time.monotonic()
        if self._forkserver.is_alive:
            if now - self._restart_at > MAX_RESTART_DELAY_SECONDS:
                self._restart_delay = INITIAL_RESTART_DELAY_SECONDS
        elif now >= self._restart_at:
            self._logger.warning("the template died, it is started again")
            self._forkserver.start()
            self._restart_at, self._restart_delay = (
                now + self._restart_delay,
                min(2 * self._restart_delay, MAX_RESTART_DELAY_SECONDS),
            )

    def release_orphaned_job(self) -> None:
        """Give back the job of a runner that has died, rather than let its lease run out."""
        current_job = self._config.worker_folder.read("job")
        if not current_job or _is_running(current_job["pid"]):
            return
        lease = Lease(
            current_job["tenant"], current_job["id"], current_job["term"], current_job["nonce"]
        )
        with contextlib.suppress(LeaseLost):  # another's by now, or ended
            reason = "the runner ended without a word: killed, or out of memory"
            self._lease_ledger.release(lease, "queued", 0, reason=reason)
            self._logger.warning("the runner died, its job is given back", job=lease.job_id)
        if self._config.worker_folder.read("job") == current_job:
            self._config.worker_folder.write("job", {})

    def register_worker(self) -> None:
        """Say that this worker lives, what it is and what it does."""
        current_job, now = self._config.worker_folder.read("job") or {}, time.monotonic()
        if current_job == self._registered_job and now < self._register_at:
            return
        worker_info = {**self._worker_info(), **self._job_info(current_job)}
        worker_registry.register(
            self._store, self._config.name, worker_info, REGISTRATION_TTL_SECONDS
        )
        self._registered_job, self._register_at = current_job, now + MAX_REGISTER_INTERVAL_SECONDS

    def prewarm_graph_engine(self) -> None:
        """Have the graph engine's loop compiled where it could be and is not, before jobs ask."""
        self._canaries.measure(1, may_retry=lambda: False)
        can_compile = (
            "graph" in self._canaries.engine_prefixes()
            and "graph" not in self._canaries.ready_engines()
        )
        if can_compile and not self._prewarm.is_started:
            self._logger.info("compiling the graph engine's loop ahead of jobs")
            self._prewarm.start()

    def wake_workers(self) -> None:
        """Ring for jobs that wait or whose lease is over, wherever their bells went."""
        for queue, times in self._ledger.take_due_wakeups(WAKE_SECONDS).items():
            celery_app.wake_workers(queue, times)

    def finalize_ended_jobs(self) -> None:
        """Move what ended jobs still have in the store, some after some while that comes off."""
        deadline = time.monotonic() + MAX_FINALIZE_SECONDS
        while self._segments.finalize_some() and time.monotonic() < deadline:
            pass

    def _run_due_tasks(self) -> None:
        while not self._stopped.wait(POLL_SECONDS):
            for task in self._tasks:
                if time.monotonic() >= task.due_at:
                    self._run_task(task)

    def _run_task(self, task: PeriodicTask) -> None:
        try:
            task.action()
        except ForkServerUnavailable:  # it is being started: asked again at once
            return
        except Exception as error:  # the store above all: the next round tries again
            self._logger.warning("left undone", duty=task.name, error=repr(error))
        task.due_at = time.monotonic() + task.interval_seconds

    def _worker_info(self) -> dict[str, Any]:
        canary = self._canaries.measure(1, may_retry=lambda: False)
        fingerprint = {"torch": self._versions["torch"], "device": self._config.device}
        return {
            "device": self._config.device,
            "queue": self._config.queue,
            "engines": list(self._canaries.engine_prefixes()),
            "memory_bytes": self._trainer_memory,
            "versions": self._versions,
            "fingerprint": {**fingerprint, "threads": 1, "canary": canary},
            "canaries": self._canaries.known_canaries(),
            "pid": os.getpid(),
            "started_at": self._started_at,
        }

    def _job_info(self, current_job: dict[str, Any]) -> dict[str, Any]:
        if not current_job:
            return {"job": None, "tenant": None, "ticks_per_second": None}
        job = self._job_queries.get_job(current_job["tenant"], current_job["id"])
        return {"job": job.id, "tenant": job.tenant, "ticks_per_second": job.ticks_per_second}


def _is_running(pid: int) -> bool:
    """Whether a process runs; one that has ended and is not yet reaped does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state not in ("Z", "X")
