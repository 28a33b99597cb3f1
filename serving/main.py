"""From flags to a running service: what is locked, bound and started, in which order.

Every refusal is one line on standard error. Exit codes: 0 after an ordered stop, 1 when something
is in the way, 2 when what was asked for will not do.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from jobs.errors import InvalidSetting, UnsafeStore
from jobs.settings import Settings
from serving.admin_key import BadKeyFile, client_config, kept_key, tell_client
from serving.embedded_store import NoServer, find_server, server_command, socket_folder
from serving.lock import BadFolder, FolderInUse, locked
from serving.options import BadOption, Options, read_options
from serving.process import Child, Command
from serving.readiness import Service
from serving.supervisor import StartFailed, StopSignals, Supervisor

ROOT = Path(__file__).resolve().parent.parent
#: connections that wait while the API is busy or being started again
BACKLOG = 256
ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}

WILL_NOT_DO = (BadOption, InvalidSetting, UnsafeStore)
IN_THE_WAY = (BadFolder, FolderInUse, BadKeyFile, NoServer, StartFailed, OSError)


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Serve until SIGTERM or Ctrl-C; return the exit code."""
    try:
        options = read_options(argv, environ)
        with ExitStack() as held:
            serve(options, held)
    except WILL_NOT_DO as refusal:
        return _refuse(refusal, 2)
    except IN_THE_WAY as refusal:
        return _refuse(refusal, 1)
    return 0


def serve(options: Options, held: ExitStack) -> None:
    """Take hold of folder, store and port, then supervise; all is let go of with `held`."""
    stops = StopSignals()
    data = Path(options.data).absolute()
    _check(options, data)
    lock = held.enter_context(locked(data))
    store, url = _store(options, data, lock, held)
    listener = held.enter_context(_bound(options))
    key = options.environment.get("TICKFORGE_ADMIN_KEY") or kept_key(data)
    environment = {
        **options.environment,
        "TICKFORGE_DATA_DIR": str(data),
        "TICKFORGE_REDIS_URL": url,
    }
    environment.pop("TICKFORGE_ADMIN_KEY", None)  # a worker has no use for it
    place = Place(options, listener)
    service = Service(Settings.from_env(environment), place.address, _say)
    door = listener.fileno()
    its_own = {"TICKFORGE_ADMIN_KEY": key, "TICKFORGE_API_FD": str(door)}
    # The API inherits the lock too: what a killed serve.py left has the port until it is gone.
    api = _child("api", ("api",), {**environment, **its_own}, pass_fds=(door, lock))
    workers = [_child(name, ("workers", "--name", name), environment) for name in place.workers]
    service.workers = _Pids(workers)
    supervisor = Supervisor(store, api, workers, readiness=service, stops=stops)
    supervisor.run(lambda: _announce(place.url, key, options))


@dataclass(frozen=True)
class Place:
    """Where the service can be reached, and the names that follow from it."""

    options: Options
    listener: socket.socket

    @property
    def address(self) -> tuple[str, int]:
        """Host and port for a client on this machine."""
        host, port = self.listener.getsockname()[:2]
        return ANYWHERE.get(host, host), port

    @property
    def url(self) -> str:
        """What a client on this machine is told."""
        host, port = self.address
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    @property
    def workers(self) -> list[str]:
        """Names that no other serve.py on the same store uses."""
        where = f"{socket.gethostname()}-{self.address[1]}"
        return [f"{where}-{number}" for number in range(1, self.options.workers + 1)]


class _Pids(Mapping[str, int | None]):
    """Names and process ids of the workers as they are now: a restart changes an id."""

    def __init__(self, children: Sequence[Child]) -> None:
        self._children = {child.name: child for child in children}

    def __getitem__(self, name: str) -> int | None:
        return self._children[name].pid

    def __iter__(self) -> Iterator[str]:
        return iter(self._children)

    def __len__(self) -> int:
        return len(self._children)


def _check(options: Options, data: Path) -> None:
    """Read all settings before anything is touched; the embedded store has its URL only later."""
    stand_in = {"TICKFORGE_REDIS_URL": "unix:///embedded", "TICKFORGE_DATA_DIR": str(data)}
    given = {name: text for name, text in options.environment.items() if text}
    Settings.from_env({**stand_in, **given})


def _store(options: Options, data: Path, lock: int, held: ExitStack) -> tuple[Child | None, str]:
    """The embedded store's child and its URL, or nobody and the URL that is set."""
    if url := options.environment.get("TICKFORGE_REDIS_URL"):
        return None, url
    folder = data / "store"
    folder.mkdir(exist_ok=True, mode=0o700)
    remembered = data / "store.socket"
    path = held.enter_context(socket_folder(options.environment, remembered)) / "store.sock"
    argv = server_command(find_server(options.environment.get("PATH")), folder, path)
    # It inherits the lock: the folder stays taken until a store that outlives us has gone too.
    command = Command("store", argv, str(folder), options.environment, pass_fds=(lock,))
    return Child(command, _say), f"unix://{path}"


@contextmanager
def _bound(options: Options) -> Iterator[socket.socket]:
    """The API's listening socket: bound here, so that the ready line can name a free port."""
    found = socket.getaddrinfo(options.host, options.port, type=socket.SOCK_STREAM)
    family, address = found[0][0], found[0][4]
    try:
        listener = socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except OSError as error:
        raise OSError(f"cannot listen on {options.host}:{options.port}: {error.strerror}") from None
    with listener:
        yield listener


def _child(
    name: str, program: tuple[str, ...], env: Mapping[str, str], pass_fds: tuple[int, ...] = ()
) -> Child:
    argv = (sys.executable, "-m", *program)
    return Child(Command(name, argv, str(ROOT), env, pass_fds=pass_fds), _say)


def _announce(url: str, key: str, options: Options) -> None:
    _tell_client(url, key, options)
    if terminal := next((out for out in (sys.stderr, sys.stdout) if out.isatty()), None):
        print(f"sign in: {url}/#key={key}", file=terminal, flush=True)
    print(f"tickforge ready {url}", flush=True)


def _tell_client(url: str, key: str, options: Options) -> None:
    try:
        tell_client(client_config(options.environment), url, key)
    except (OSError, RuntimeError) as error:  # no home, or one that cannot be written
        _say(f"the client's config file was not written: {error}")


def _refuse(refusal: Exception, code: int) -> int:
    _say(f"error: {refusal}")
    return code


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
