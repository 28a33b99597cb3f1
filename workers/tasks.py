"""The Celery worker and its one task, which runs jobs in the pool child until none is left.

Knows Celery's signals; knows nothing of what a job is.
"""

import gc
import os
import sys
import warnings
from typing import Any

from celery import Celery, signals
from celery.exceptions import CPendingDeprecationWarning, SecurityWarning

from jobs import logs
from jobs.celery_app import TASK_NAME
from jobs.store import keys
from workers import pool_child
from workers.drain import Drain
from workers.draining_pool import DrainingPool
from workers.runner import JobRunner
from workers.worker_folder import WorkerConfig


class PoolChild:
    """The pool child's runner: created empty in the main process, set up in the child."""

    def __init__(self, config: WorkerConfig) -> None:
        self._config, self._parent_pid = config, os.getpid()
        self._runner: JobRunner | None = None

    def init(self, **_signal: Any) -> None:
        """Set up the child that Celery has just forked."""
        drain = Drain()
        pool_child.init(drain, self._parent_pid)
        logs.configure_logging(self._config.settings.log_format)
        self._runner = JobRunner(self._config, drain)

    def run_jobs(self) -> None:
        """Run jobs until none is left."""
        assert self._runner is not None, "only pool children run tasks"
        self._runner.run_jobs()


def run_celery_worker(app: Celery, config: WorkerConfig) -> int:
    """Run tasks until SIGTERM, then drain; return the process's exit code."""
    child = PoolChild(config)
    app.task(name=TASK_NAME)(child.run_jobs)

    def drain_pool(**_signal: Any) -> None:
        pool_child.drain_children()
        logs.get_logger("worker").info("the worker stops", worker=config.name)

    def set_up_logging(**_signal: Any) -> None:
        """Keep Celery from setting up logging: it is set up already."""

    def keep_memory_shared(**_signal: Any) -> None:
        """Exempt what there is from collections, which would write to it in the child."""
        gc.collect()
        gc.freeze()

    signals.worker_before_create_process.connect(keep_memory_shared, weak=False)
    signals.worker_process_init.connect(child.init, weak=False)
    signals.worker_shutting_down.connect(drain_pool, weak=False)
    signals.setup_logging.connect(set_up_logging, weak=False)
    # Celery warns root because of pickle, which is refused here; containers may run as root
    warnings.simplefilter("ignore", SecurityWarning)
    # and at each lost connection, of a setting's default in Celery 6
    warnings.simplefilter("ignore", CPendingDeprecationWarning)
    # where Celery announces its stop, between the lines of the log
    sys.__stdout__ = None  # type: ignore[misc]
    worker = app.Worker(
        hostname=f"tickforge@{config.name}",
        pool_cls=DrainingPool,
        concurrency=1,
        queues=[keys.celery_queue(config.queue)],
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
    )
    worker.start()
    return int(worker.exitcode or 0)
