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
from jobs.log_lines import LineLog, read_log_format
from jobs.settings import Settings, describe_unknown
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
    log = LineLog("serve", read_log_format(environ))
    try:
        options = parse_options(argv, environ)
        for name, similar in options.unknown_variables.items():
            log.warning(describe_unknown(name, similar))
        with ExitStack() as stack:
            serve(options, stack, log)
    except (*USAGE_ERRORS, *START_ERRORS) as error:
        log.error(str(error))
        return 2 if isinstance(error, USAGE_ERRORS) else 1
    return 0


def serve(options: Options, stack: ExitStack, log: LineLog) -> None:
    """Acquire port, folder and store, then supervise; leaving `stack` releases them all."""
    gpus = select_gpus(options.gpus, options.environment)  # forks, so before there are handlers
    stop_signals = StopSignals()
    listener, lock = _acquire_port_and_folder(options, stack)
    store, url = _prepare_store(options, lock, stack, log)
    environment = {**options.environment, "TICKFORGE_REDIS_URL": url}
    environment["TICKFORGE_DATA_DIR"] = str(options.data)
    key = environment.pop("TICKFORGE_ADMIN_KEY", None)  # workers do not need it
    key = key or admin_key.load_or_create_key(options.data)
    host, port = _client_address(listener)
    api_fd = listener.fileno()
    api_environment = {"TICKFORGE_ADMIN_KEY": key, "TICKFORGE_API_FD": str(api_fd)}
    # The API inherits the lock too: one that outlives a killed serve.py still has the port.
    api_program = _program("api", ("api",), {**environment, **api_environment}, (api_fd, lock))
    api = Child(api_program, log.warning)
    prefix = f"{socket.gethostname()}-{port}"
    programs = _worker_programs(prefix, options.workers, gpus, environment)
    workers = [Child(program, log.warning) for program in programs]
    for number, gpu in gpus.items():
        log.info(f"GPU {number}: {gpu.name}, {gpu.selector}")
    probe = ReadinessProbe(
        Settings.from_env(environment),
        (host, port),
        worker_pids=lambda: {worker.name: worker.pid for worker in workers},
        log=log.warning,
    )
    supervisor = Supervisor(store, api, workers, readiness=probe, stop_signals=stop_signals)
    supervisor.run(
        preload=lambda: preload(PROGRAMS),
        log=log.info,
        on_ready=lambda: _announce(_make_url(host, port), key, options, log),
    )


def _acquire_port_and_folder(options: Options, stack: ExitStack) -> tuple[socket.socket, int]:
    """Return the listening socket and the lock's descriptor; a used port leaves no new folder.

    The lock of a folder that is there comes first: who holds it says more than a used port.
    """
    if options.data.exists():
        lock = stack.enter_context(data_folder_lock(options.data))
        return stack.enter_context(_listen(options)), lock
    listener = stack.enter_context(_listen(options))
    return listener, stack.enter_context(data_folder_lock(options.data))


def _client_address(listener: socket.socket) -> tuple[str, int]:
    """Return host and port for a client on this machine."""
    host, port = listener.getsockname()[:2]
    return WILDCARD_TO_LOOPBACK.get(host, host), port


def _make_url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _worker_programs(
    prefix: str, count: int, gpus: Mapping[int, Gpu], environment: Mapping[str, str]
) -> list[ForkedProgram]:
    """Return `count` workers on CPUs and one for each GPU, which sees no other.

    Their names are unique among all serve.py on one store: `prefix` is of host and port.
    """
    names = [f"{prefix}-{number}" for number in range(1, count + 1)]
    programs = [_program(name, ("workers", "--name", name), environment) for name in names]
    for number, gpu in gpus.items():
        name = f"{prefix}-cuda{number}"
        command = ("workers", "--queue", "cuda", "--name", name)
        programs.append(_program(name, command, {**environment, **gpu_environment(gpu)}))
    return programs


def _prepare_store(
    options: Options, lock: int, stack: ExitStack, log: LineLog
) -> tuple[Child | None, str]:
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
    store_log = LineLog("store", read_log_format(options.environment))
    return Child(command, log.warning, store_log.server_line), unix_address(socket_path)


@contextmanager
def _listen(options: Options) -> Iterator[socket.socket]:
    """Bind the API's listening socket here, so that the ready line can name a free port."""
    try:
        candidates = socket.getaddrinfo(options.host, options.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no host name"
        detail = f"TICKFORGE_HOST={options.host!r}: a name or an address of this machine ({reason})"
        raise InvalidSetting(detail) from None
    family, _, _, _, address = candidates[0]
    try:
        listener = socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except OSError as error:
        detail = f"cannot listen on {options.host}:{options.port}: {error.strerror}"
        raise OSError(f"{detail} (TICKFORGE_HOST, TICKFORGE_PORT)") from None
    with listener:
        yield listener


def _program(
    name: str, command: tuple[str, ...], env: Mapping[str, str], pass_fds: tuple[int, ...] = ()
) -> ForkedProgram:
    package, *arguments = command
    return ForkedProgram(name, package, tuple(arguments), str(ROOT), env, pass_fds)


def _announce(url: str, key: str, options: Options, log: LineLog) -> None:
    try:
        config_path = admin_key.client_config_path(options.environment)
        if configured_url := admin_key.write_client_config(config_path, url, key):
            log.info(
                f"the client's configuration names {configured_url}, and is kept; "
                f"for this service: TICKFORGE_URL={url} and TICKFORGE_KEY, the text of "
                f"{options.data / 'admin.key'}"
            )
    except (OSError, RuntimeError) as error:  # no home folder, or a read-only one
        log.warning(f"the client's config file was not written: {error}")
    if terminal := next((out for out in (sys.stderr, sys.stdout) if out.isatty()), None):
        print(f"sign in: {url}/#key={key}", file=terminal, flush=True)
    print(f"tickforge ready {url}", flush=True)
