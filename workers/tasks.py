"""Celery's part, and all of it: a bell wakes the pool child, which takes jobs until there are none.

Knows Celery's signals and one task; what a job is, the runner knows.
"""

import os
import warnings
from typing import Any

from celery import Celery, signals
from celery.exceptions import SecurityWarning

from jobs import logs
from jobs.celery_app import TASK_NAME
from jobs.store import keys
from workers import pool_child
from workers.drain import Drain
from workers.runner import JobRunner
from workers.worker_folder import WorkerConfig


class PoolChild:
    """What the pool child has: made empty in the main process, filled in the child."""

    def __init__(self, config: WorkerConfig) -> None:
        self._config, self._parent_pid = config, os.getpid()
        self._runner: JobRunner | None = None

    def init(self, **_signal: Any) -> None:
        """Set up a child that Celery has just forked."""
        drain = Drain()
        pool_child.init(drain, self._parent_pid)
        logs.configure_logging(self._config.settings.log_format)
        self._runner = JobRunner(self._config, drain)

    def run_jobs(self) -> None:
        """Answer a bell."""
        assert self._runner is not None, "only pool children hear bells"
        self._runner.run_jobs()


def run_celery_worker(app: Celery, config: WorkerConfig) -> int:
    """Hear bells until a SIGTERM, then drain; return the process's exit code."""
    child = PoolChild(config)
    app.task(name=TASK_NAME)(child.run_jobs)

    def drain_pool(**_signal: Any) -> None:
        pool_child.drain_children()

    def set_up_logging(**_signal: Any) -> None:
        """Keep Celery from setting up logging its own way: that was done."""

    signals.worker_process_init.connect(child.init, weak=False)
    signals.worker_shutting_down.connect(drain_pool, weak=False)
    signals.setup_logging.connect(set_up_logging, weak=False)
    # Celery warns a superuser because of pickle, which is refused here; containers may be root's.
    warnings.simplefilter("ignore", SecurityWarning)
    worker = app.Worker(
        hostname=f"tickforge@{config.name}",
        pool_cls="prefork",
        concurrency=1,
        queues=[keys.celery_queue(config.queue)],
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
    )
    worker.start()
    return int(worker.exitcode or 0)
