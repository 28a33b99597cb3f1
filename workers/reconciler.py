"""The thread in a worker's main process that does its periodic tasks and repairs after crashes.

It restarts the fork server, releases the job of a dead pool child, registers the worker, wakes
workers for jobs that wait, finalizes ended jobs, deletes old ones, compiles the graph engine ahead
of time, and starts the thread that calls webhooks once there are any. A slow or unavailable store
only delays it. Knows nothing of a job's content.
"""

import contextlib
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from jobs import celery_app, logs
from jobs.background_thread import BackgroundThread
from jobs.backoff import Backoff
from jobs.errors import LeaseLost
from jobs.files.artifacts import ArtifactStore
from jobs.files.exported_files import ONNX_FILE
from jobs.job import Lease
from jobs.ledger.client import JobLedger
from jobs.ledger.owner import LeaseLedger
from jobs.queries import worker_registry
from jobs.queries.jobs import JobQueries
from jobs.recording.segments import Segments
from jobs.retention import Retention
from jobs.spec import onnx_limits
from jobs.store.connection import connect
from jobs.timestamps import now_rfc3339
from workers import memory
from workers.canaries import Canaries, UnusableDevice
from workers.forkserver_client import ForkServerProcess, ForkServerUnavailable
from workers.pool_child import read_stat
from workers.prewarm import Prewarm
from workers.webhook_calls import WebhookCalls
from workers.worker_folder import WorkerConfig

POLL_SECONDS = 0.1  # between two checks for tasks that are due
FORKSERVER_CHECK_SECONDS = 0.2
ORPHAN_CHECK_SECONDS = 0.5
WAKE_SECONDS = 1.0  # also the shortest time between two wake-ups of a queue
MAX_REGISTER_INTERVAL_SECONDS = 2.0  # a job that begins or ends is registered at the next check
REGISTER_CHECK_SECONDS = 0.2
REGISTRATION_TTL_SECONDS = 7.0  # three registrations may be late
PREWARM_CHECK_SECONDS = 5.0
FINALIZE_SECONDS = 10.0
WEBHOOKS_SECONDS = 1.0  # until the first webhook there is is noticed
RETENTION_SECONDS = 10.0  # over all workers: one of them does it
MAX_FINALIZE_SECONDS = 1.0  # of one round: the other tasks wait meanwhile
MAX_RETENTION_SECONDS = 1.0  # likewise
#: seconds before a fork server that died at once is restarted, doubled up to the longest
INITIAL_RESTART_DELAY_SECONDS, MAX_RESTART_DELAY_SECONDS = 0.2, 10.0


@dataclass
class PeriodicTask:
    """An action and its interval; `due_at` is when it is due next, by the monotonic clock."""

    name: str
    interval_seconds: float
    action: Callable[[], None]
    due_at: float = 0.0


class Reconciler(BackgroundThread):
    """A context that runs the periodic tasks of one worker."""

    def __init__(self, config: WorkerConfig, forkserver: ForkServerProcess) -> None:
        super().__init__("reconciler", join_seconds=1.0)
        self._config, self._forkserver, settings = config, forkserver, config.settings
        self._store = connect(settings.redis_url)
        self._ledger = JobLedger(self._store)
        self._lease_ledger = LeaseLedger(self._store, settings.lease_seconds)
        files = ArtifactStore(settings.artifacts)
        self._segments = Segments(self._ledger, self._store, files)
        self._retention = Retention(self._store, files)
        self._job_queries = JobQueries(self._store)
        self._canaries = Canaries(config.worker_folder, config.device)
        self._logger = logs.get_logger("reconciler", worker=config.name)
        self._versions = {name: version(name) for name in ("torch", "numpy")}
        self._versions["python"] = platform.python_version()
        self._prewarm = Prewarm()
        self._webhooks = WebhookCalls(self._store, config)
        self._memory = memory.claimed_memory_limit(settings, config.queue, config.gpu)
        self._device_error: str | None = None
        self._can_export = onnx_limits.has_packages()
        self._started_at = now_rfc3339()
        self._restart_at = self._register_at = 0.0
        self._restart_backoff = Backoff(INITIAL_RESTART_DELAY_SECONDS, MAX_RESTART_DELAY_SECONDS)
        self._registered_job: dict[str, Any] = {}
        self._tasks = [
            PeriodicTask("fork server", FORKSERVER_CHECK_SECONDS, self.restart_forkserver),
            PeriodicTask("release", ORPHAN_CHECK_SECONDS, self.release_orphaned_job),
            PeriodicTask("register", REGISTER_CHECK_SECONDS, self.register_worker),
            PeriodicTask("prewarm", PREWARM_CHECK_SECONDS, self.prewarm_graph_engine),
            PeriodicTask("wake up", WAKE_SECONDS, self.wake_workers),
            PeriodicTask("finalize", FINALIZE_SECONDS, self.finalize_ended_jobs),
            PeriodicTask("webhooks", WEBHOOKS_SECONDS, self._webhooks.start_if_needed),
            PeriodicTask("retention", RETENTION_SECONDS, self.delete_old_jobs),
        ]

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self._prewarm.stop()
        self._webhooks.stop()
        if self._thread.is_alive():  # the store does not reply to it: do not call it again
            return
        try:
            worker_registry.deregister(self._store, self._config.name)
        except Exception as error:
            self._logger.warning("not deregistered", error=repr(error))

    def restart_forkserver(self) -> None:
        """Restart the fork server if it has died; running trainers go on."""
        now = time.monotonic()
        if self._forkserver.is_alive:
            if now - self._restart_at > MAX_RESTART_DELAY_SECONDS:
                self._restart_backoff.reset()
        elif now >= self._restart_at:
            self._logger.warning("the fork server died, it is started again")
            self._forkserver.start()
            self._restart_at = now + self._restart_backoff.next_delay()

    def release_orphaned_job(self) -> None:
        """Release the job of a pool child that has died, rather than let its lease run out."""
        current_job = self._config.worker_folder.read("job")
        if not current_job or _is_running(current_job["pid"]):
            return
        lease = Lease(*(current_job[key] for key in ("tenant", "id", "term", "nonce")))
        with contextlib.suppress(LeaseLost):  # another worker's by now, or ended
            reason = "the runner ended without a word: killed, or out of memory"
            self._lease_ledger.finish(lease, "queued", 0, reason=reason)
            self._logger.warning("the runner died, its job is given back", job=lease.job_id)
        if self._config.worker_folder.read("job") == current_job:
            self._config.worker_folder.write("job", {})

    def register_worker(self) -> None:
        """Register this worker with what it is and the job it runs."""
        current_job, now = self._config.worker_folder.read("job") or {}, time.monotonic()
        if current_job == self._registered_job and now < self._register_at:
            return
        info = {**self._worker_info(), **self._job_info(current_job)}
        worker_registry.register(self._store, self._config.name, info, REGISTRATION_TTL_SECONDS)
        self._registered_job, self._register_at = current_job, now + MAX_REGISTER_INTERVAL_SECONDS

    def prewarm_graph_engine(self) -> None:
        """Compile the graph engine's loop ahead of jobs, where it can be and is not yet."""
        if self._config.queue != "cpu":
            return
        self._prewarm.reap_if_ended()
        self._canaries.measure(1, may_retry=lambda: False)
        engines, ready = self._canaries.engine_prefixes(), self._canaries.ready_engines()
        if "graph" in engines and "graph" not in ready and not self._prewarm.is_started:
            self._logger.info("compiling the graph engine's loop ahead of jobs")
            self._prewarm.start()

    def wake_workers(self) -> None:
        """Wake workers for jobs that wait or whose lease is over: a wake-up may have got lost."""
        until = time.monotonic() + WAKE_SECONDS
        for queue, times in self._ledger.take_due_wakeups(WAKE_SECONDS).items():
            celery_app.wake_workers(queue, times, until=until)

    def finalize_ended_jobs(self) -> None:
        """Move histories of ended jobs from the store to files, in batches."""
        deadline = time.monotonic() + MAX_FINALIZE_SECONDS
        while self._segments.finalize_some() and time.monotonic() < deadline:
            pass

    def delete_old_jobs(self) -> None:
        """Delete ended jobs that no rule of their tenant keeps, in batches."""
        if count := self._retention.apply_some(MAX_RETENTION_SECONDS, RETENTION_SECONDS):
            self._logger.info("old jobs deleted", count=count)

    def _run(self) -> None:
        while not self._stopped.wait(POLL_SECONDS):
            for task in self._tasks:
                if time.monotonic() >= task.due_at and not self._stopped.is_set():
                    self._run_task(task)

    def _run_task(self, task: PeriodicTask) -> None:
        try:
            task.action()
        except ForkServerUnavailable:  # it is being started: the task stays due
            return
        except Exception as error:  # the store above all: retried after the interval
            self._logger.warning("task failed", task=task.name, error=repr(error))
        task.due_at = time.monotonic() + task.interval_seconds

    def _worker_info(self) -> dict[str, Any]:
        canary = self._measure_canary()
        fingerprint = {"torch": self._versions["torch"], "device": self._config.device}
        return {
            "device": self._config.device,
            "queue": self._config.queue,
            "gpu": None if self._config.gpu is None else self._config.gpu.describe(),
            "device_error": self._device_error,
            "engines": list(self._canaries.engine_prefixes()),
            "memory_bytes": self._memory,
            "cores": len(os.sched_getaffinity(0)),
            "answers": True,
            "exports": [ONNX_FILE] if self._can_export else [],
            "stall_seconds": self._config.settings.stall_seconds,
            "versions": self._versions,
            "fingerprint": {**fingerprint, "threads": 1, "canary": canary},
            "canaries": self._canaries.known_canaries(),
            "pid": os.getpid(),
            "started_at": self._started_at,
        }

    def _measure_canary(self) -> str | None:
        """Return the canary; None, with the reason kept, if torch cannot use the device."""
        try:
            canary = self._canaries.measure(1, may_retry=lambda: False)
        except UnusableDevice as error:
            if str(error) != self._device_error:
                self._logger.error("the device cannot be used, no job is taken", why=str(error))
            self._device_error = str(error)
            return None
        if self._device_error is not None:
            self._logger.info("the device can be used now")
        self._device_error = None
        return canary

    def _job_info(self, current_job: dict[str, Any]) -> dict[str, Any]:
        if not current_job:
            return {"job": None, "tenant": None, "ticks_per_second": None}
        job = self._job_queries.get_job(current_job["tenant"], current_job["id"])
        return {"job": job.id, "tenant": job.tenant, "ticks_per_second": job.ticks_per_second}


def _is_running(pid: int) -> bool:
    """Return whether a process runs; one that has ended and is not yet reaped does not."""
    try:
        return read_stat(pid)[0] not in (b"Z", b"X")
    except OSError:
        return False
