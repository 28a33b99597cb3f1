"""From flags to a running service: locks the folder, binds the port, starts the children.

Every error is one line on standard error. Exit codes: 0 after an ordered stop, 1 if the start
failed, 2 for wrong usage, settings or store.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from jobs.errors import InvalidSetting, UnsafeStore
from jobs.gpus.discovery import gpu_environment
from jobs.gpus.gpu import Gpu
from jobs.settings import Settings
from jobs.store_address import unix_address
from serving import admin_key
from serving.embedded_store import ServerNotFound, find_server, server_command, socket_folder
from serving.forked_program import ForkedProgram, preload
from serving.gpus import select_gpus
from serving.lock import BadFolder, FolderInUse, data_folder_lock
from serving.options import Options, parse_options
from serving.process import Child, Command
from serving.readiness import ReadinessProbe
from serving.supervisor import StartFailed, StopSignals, Supervisor

ROOT = Path(__file__).resolve().parent.parent
#: connections that may wait while the API is busy or restarting
BACKLOG = 256
#: what runs in forks of this process
PROGRAMS = ("api", "workers")
WILDCARD_TO_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}

USAGE_ERRORS = (InvalidSetting, UnsafeStore)
START_ERRORS = (BadFolder, FolderInUse, admin_key.BadKeyFile, ServerNotFound, StartFailed, OSError)


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Serve until SIGTERM or Ctrl-C; return the exit code."""
    try:
        options = parse_options(argv, environ)
        with ExitStack() as stack:
            serve(options, stack)
    except (*USAGE_ERRORS, *START_ERRORS) as error:
        _log(f"error: {error}")
        return 2 if isinstance(error, USAGE_ERRORS) else 1
    return 0


def serve(options: Options, stack: ExitStack) -> None:
    """Acquire folder, store and port, then supervise; leaving `stack` releases them all."""
    gpus = select_gpus(options.gpus, options.environment)  # forks, so before there are handlers
    stop_signals = StopSignals()
    lock = stack.enter_context(data_folder_lock(options.data))
    store, url = _prepare_store(options, lock, stack)
    listener = stack.enter_context(_listen(options))
    environment = {**options.environment, "TICKFORGE_REDIS_URL": url}
    environment["TICKFORGE_DATA_DIR"] = str(options.data)
    key = environment.pop("TICKFORGE_ADMIN_KEY", None)  # workers do not need it
    key = key or admin_key.load_or_create_key(options.data)
    host, port = _client_address(listener)
    api_fd = listener.fileno()
    api_environment = {"TICKFORGE_ADMIN_KEY": key, "TICKFORGE_API_FD": str(api_fd)}
    # The API inherits the lock too: one that outlives a killed serve.py still has the port.
    api = _make_child("api", ("api",), {**environment, **api_environment}, pass_fds=(api_fd, lock))
    workers = _make_workers(f"{socket.gethostname()}-{port}", options.workers, gpus, environment)
    probe = ReadinessProbe(
        Settings.from_env(environment),
        (host, port),
        worker_pids=lambda: {worker.name: worker.pid for worker in workers},
        log=_log,
    )
    supervisor = Supervisor(store, api, workers, readiness=probe, stop_signals=stop_signals)
    supervisor.run(
        preload=lambda: preload(PROGRAMS),
        on_ready=lambda: _announce(_make_url(host, port), key, options),
    )


def _client_address(listener: socket.socket) -> tuple[str, int]:
    """Return host and port for a client on this machine."""
    host, port = listener.getsockname()[:2]
    return WILDCARD_TO_LOOPBACK.get(host, host), port


def _make_url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _make_workers(
    prefix: str, count: int, gpus: Mapping[int, Gpu], environment: Mapping[str, str]
) -> list[Child]:
    """Return `count` workers on CPUs and one for each GPU, which sees no other.

    Their names are unique among all serve.py on one store: `prefix` is of host and port.
    """
    names = [f"{prefix}-{number}" for number in range(1, count + 1)]
    workers = [_make_child(name, ("workers", "--name", name), environment) for name in names]
    for number, gpu in gpus.items():
        _log(f"GPU {number}: {gpu.name}, {gpu.selector}")
        name = f"{prefix}-cuda{number}"
        program = ("workers", "--queue", "cuda", "--name", name)
        workers.append(_make_child(name, program, {**environment, **gpu_environment(gpu)}))
    return workers


def _prepare_store(options: Options, lock: int, stack: ExitStack) -> tuple[Child | None, str]:
    """Return the embedded store's child and URL, or None and the URL of an external store."""
    if url := options.environment.get("TICKFORGE_REDIS_URL"):
        return None, url
    folder = options.data / "store"
    folder.mkdir(exist_ok=True, mode=0o700)
    pointer_file = options.data / "store.socket"
    socket_parent = stack.enter_context(socket_folder(options.environment, pointer_file))
    socket_path = socket_parent / "store.sock"
    argv = server_command(find_server(options.environment.get("PATH")), folder, socket_path)
    # It inherits the lock: the folder stays locked while a store outlives us.
    command = Command("store", argv, str(folder), options.environment, pass_fds=(lock,))
    return Child(command, _log), unix_address(socket_path)


@contextmanager
def _listen(options: Options) -> Iterator[socket.socket]:
    """Bind the API's listening socket here, so that the ready line can name a free port."""
    candidates = socket.getaddrinfo(options.host, options.port, type=socket.SOCK_STREAM)
    family, _, _, _, address = candidates[0]
    try:
        listener = socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except OSError as error:
        raise OSError(f"cannot listen on {options.host}:{options.port}: {error.strerror}") from None
    with listener:
        yield listener


def _make_child(
    name: str, program: tuple[str, ...], env: Mapping[str, str], pass_fds: tuple[int, ...] = ()
) -> Child:
    package, *arguments = program
    return Child(ForkedProgram(name, package, tuple(arguments), str(ROOT), env, pass_fds), _log)


def _announce(url: str, key: str, options: Options) -> None:
    try:
        config_path = admin_key.client_config_path(options.environment)
        admin_key.write_client_config(config_path, url, key)
    except (OSError, RuntimeError) as error:  # no home folder, or a read-only one
        _log(f"the client's config file was not written: {error}")
    if terminal := next((out for out in (sys.stderr, sys.stdout) if out.isatty()), None):
        print(f"sign in: {url}/#key={key}", file=terminal, flush=True)
    print(f"tickforge ready {url}", flush=True)


def _log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
