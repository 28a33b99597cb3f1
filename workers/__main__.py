"""A worker: `python -m workers [--queue cpu|cuda] [--name NAME] [--alive|--selftest]`.

Starts the fork server, waits for the store, then runs jobs until SIGTERM, which drains the current
one to a checkpoint. Exit codes: 0, or 2 for an invalid setting or an unsafe store.
"""

import argparse
import json
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from importlib import import_module
from multiprocessing import util

from jobs.python_version import require_python

require_python()

from jobs import celery_app, fault_points, logs
from jobs.allocator import limit_unused_memory
from jobs.archive.store_identity import check_store_matches
from jobs.errors import InvalidSetting, UnsafeStore
from jobs.files.artifacts import ArtifactStore, hide_new_files
from jobs.gpus.discovery import find_gpus, gpu_environment
from jobs.gpus.gpu import Gpu
from jobs.log_lines import LineLog, read_log_format
from jobs.queries import worker_registry
from jobs.settings import Settings
from jobs.spec import onnx_limits
from jobs.store.codec import limit_cached_specs
from jobs.store.connection import UNAVAILABLE, check_store, connect, wait_ready
from jobs.store_address import describe_address
from workers.answer_claims import ExportClaims
from workers.answering import AnswerDriver
from workers.canaries import add_torch_version
from workers.forkserver_client import ForkServerProcess, spawn_trainer
from workers.outcomes import UNAVAILABLE_DEVICE
from workers.reconciler import Reconciler
from workers.tasks import run_celery_worker
from workers.trainer_client import TrainerClient, TrainerError
from workers.worker_folder import WorkerConfig, WorkerFolder

#: what Celery imports by name
CELERY_MODULES = (
    "billiard.heap", "billiard.popen_fork", "billiard.sharedctypes", "billiard.synchronize",
    "celery.app.amqp", "celery.app.control", "celery.app.events", "celery.app.log",
    "celery.apps.worker", "celery.backends.base", "celery.concurrency.prefork",
    "celery.events.receiver", "celery.worker.autoscale", "celery.worker.components",
    "celery.worker.consumer", "celery.worker.consumer.delayed_delivery", "celery.worker.strategy",
    "kombu.pidbox", "kombu.transport.redis",
)  # fmt: skip
#: a worker reads one job at a time: that of its child, one that has ended, and those to verify
MAX_CACHED_SPECS = 8
LOG_INTERVAL_SECONDS = 5.0  # between two log lines while the store is waited for


def preload() -> None:
    """Import what Celery would otherwise import when a worker starts."""
    for module in CELERY_MODULES:
        import_module(module)


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run a worker, or its self-test; return the exit code."""
    args = _parser().parse_args(argv)
    _set_signals()
    hide_new_files()
    limit_unused_memory()
    limit_cached_specs(MAX_CACHED_SPECS)
    gpu = None if args.alive else _take_gpu(args.queue, environ)
    worker_folder = WorkerFolder()
    forkserver = ForkServerProcess(worker_folder.socket_path)
    try:
        if args.selftest:
            return run_selftest(forkserver, args.queue, gpu)
        if args.alive:
            return check_alive(Settings.from_env(environ), args.name)
        settings = Settings.from_env(environ)
        config = WorkerConfig(args.name, args.queue, settings, worker_folder, gpu)
        return run_worker(config, forkserver)
    except (InvalidSetting, UnsafeStore) as error:
        LineLog("worker", read_log_format(environ)).error(str(error))
        return 2
    finally:
        forkserver.stop()
        # Celery's pool has a temporary folder in ours, and would miss it when the process exits
        util._exit_function()  # type: ignore[attr-defined]
        worker_folder.remove()


def run_worker(config: WorkerConfig, forkserver: ForkServerProcess) -> int:
    """Serve one queue until SIGTERM."""
    logs.configure_logging(config.settings.log_format)
    if fault_points.is_armed():
        logs.get_logger("worker").warning(fault_points.ARMED_WARNING)
    # Celery's pool makes a temporary folder, which a killed worker leaves: the next one removes it
    tempfile.tempdir = str(config.worker_folder.path)
    forkserver.start()
    _wait_for_store(config.settings)
    with ExitStack() as stack:
        stack.enter_context(Reconciler(config, forkserver))
        stack.enter_context(AnswerDriver(config))
        if onnx_limits.has_packages():
            stack.enter_context(AnswerDriver(config, ExportClaims))
        return run_celery_worker(celery_app.configure_broker(config.settings), config)


def _take_gpu(queue: str, environ: Mapping[str, str]) -> Gpu | None:
    """Return the first visible GPU, and hide all others from the trainers; None on the queue cpu.

    Forks, so it is called before there are threads.
    """
    gpu = next(iter(find_gpus(environ)), None) if queue == "cuda" else None
    if gpu is not None:
        os.environ.update(gpu_environment(gpu))
    return gpu


def run_selftest(forkserver: ForkServerProcess, device: str, gpu: Gpu | None) -> int:
    """Print device, engines, canary and speed of this machine; needs no store.

    Returns 1 if torch cannot compute on the device.
    """
    forkserver.start()
    process = spawn_trainer(forkserver.socket_path, may_retry=lambda: forkserver.is_alive)
    try:
        report = TrainerClient(process.connection).selftest(device)
        shown = {**report, "canary": add_torch_version(report["canary"])}
        if gpu is not None:
            shown["gpu"] = {**gpu.describe(), **report["gpu"]}
        print(json.dumps(shown, indent=1))
    except TrainerError as error:
        if error.kind != UNAVAILABLE_DEVICE:
            raise
        shown_gpu = "no GPU" if gpu is None else f"{gpu.name} ({gpu.selector})"
        print(f"error: {error.detail}; the driver shows {shown_gpu}", file=sys.stderr)
        return 1
    finally:
        process.close()
    return 0


def check_alive(settings: Settings, name: str) -> int:
    """Return exit code 0 if a worker of this machine, or of this name, is registered, else 1.

    One whose device cannot be used does not count.
    """
    try:
        live_workers = worker_registry.live_workers(connect(settings.redis_url))
    except UNAVAILABLE as error:
        print(f"error: the store does not answer: {error}", file=sys.stderr)
        return 1
    prefix = f"{socket.gethostname()}-"
    names = [worker["name"] for worker in worker_registry.usable_workers(live_workers)]
    return 0 if name in names or any(other.startswith(prefix) for other in names) else 1


def _wait_for_store(settings: Settings) -> None:
    """Wait until the store replies. Raises UnsafeStore if its settings could lose jobs."""
    store = connect(settings.redis_url)
    while True:
        for variable, url in settings.servers.items():
            _wait_for_server(variable, url)
        try:
            check_store(store, unchecked=settings.store_unchecked)
            check_store_matches(store, ArtifactStore(settings.artifacts))
        except UNAVAILABLE:
            continue  # it has gone again
        store.close()
        return


def _wait_for_server(variable: str, url: str) -> None:
    """Wait until the store, or the broker, answers. Raises UnsafeStore."""
    with closing(connect(url)) as client:
        while not wait_ready(client, LOG_INTERVAL_SECONDS, variable=variable):
            address = describe_address(url)
            logs.get_logger("worker").warning("waiting for the store", at=address)


def _set_signals() -> None:
    """Set what ends this process until Celery sets its own handlers."""
    signal.signal(signal.SIGTERM, _exit_on_signal)
    # a script's background job inherits SIGINT and SIGQUIT ignored
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)


def _exit_on_signal(*_signal: object) -> None:
    raise SystemExit(0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m workers",
        description="Trains queued jobs, one at a time, until SIGTERM; settings come from the "
        "environment (TICKFORGE_...).",
        allow_abbrev=False,
    )
    option = parser.add_argument
    option("--queue", choices=("cpu", "cuda"), default="cpu", help="what it trains on (cpu)")
    option("--name", default=_default_name(), help="its name in /v1/workers (host and process)")
    option("--alive", action="store_true", help="exit 0 if a worker of this machine lives, else 1")
    option("--selftest", action="store_true", help="print device, engines, canary, speed; exit")
    return parser


def _default_name() -> str:
    return f"{socket.gethostname()}-{os.getpid()}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
