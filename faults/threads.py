"""`python -m faults.threads` (make threads): do all trainers of several threads give equal bits?

Forks trainers by the hundred from the real fork server, at two and at four threads, for every
model family, optimizer and precision and several norms and activations, and compares the digests
of their losses, weights and optimizer states. Prints a row for each; exits 1 where trainers of one
row differ.

With --control, trainers leave out the call that sets up MKL's vector math on one thread
(ticks/machine.py), so that the fault it prevents is to be seen. It needs an Intel processor: for
any other, MKL notes the processor's type in one step. --intel makes MKL take this one for Intel's.
"""

import argparse
import hashlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from faults.processes import ROOT, inherited_environment
from faults.thread_specs import SPECS, TICKS, make_spec
from faults.waits import wait_until
from jobs.trainer_frames import Frame, receive_frame, send_frame

COUNT = 100  # trainers of one spec and number of threads
THREADS = (2, 4)
TIMEOUT_SECONDS = 60.0  # for one reply of a trainer
START_SECONDS = 40.0  # torch's import, on a quiet machine
WIDTH = max(len(name) for name in SPECS)

#: replaces itself by another program, in the environment that a worker gives its fork server
START = (
    "import os, sys; from workers.forkserver_client import trainer_environment;"
    "os.execve(sys.executable, [sys.executable, *sys.argv[1:]], trainer_environment())"
)
FORK_SERVER = ("-m", "ticks.process.forkserver")
CONTROL = (
    "-c",
    "import sys; from ticks import machine; from ticks.process import forkserver;"
    "assert machine.set_up_vector_math; machine.set_up_vector_math = lambda: None;"
    "forkserver.main(sys.argv[1])",
)
#: what MKL asks before it looks at what the processor can do
INTEL = b"int mkl_serv_intel_cpu_true(void) { return 1; }\n"


@contextmanager
def fork_server(*, control: bool = False, intel: bool = False) -> Iterator[Path]:
    """Run a fork server; yield its socket's path. `intel` needs gcc."""
    with tempfile.TemporaryDirectory(prefix="tickforge-threads-") as name:
        path = Path(name) / "s"
        preload = {"LD_PRELOAD": str(build_intel(Path(name)))} if intel else {}
        ours, theirs = socket.socketpair()
        with ours, theirs:
            process = subprocess.Popen(
                [sys.executable, "-c", START, *(CONTROL if control else FORK_SERVER), str(path)],
                cwd=ROOT, env={**inherited_environment(), **preload, "PYTHONPATH": str(ROOT)},
                stdin=theirs.fileno(),
            )  # fmt: skip
            try:
                wait_until(lambda: is_listening(path), START_SECONDS, "the fork server's start")
                yield path
            finally:
                process.kill()
                process.wait()


def build_intel(folder: Path) -> Path:
    """Build the library by which MKL takes any processor for one of Intel's."""
    library = folder / "intel.so"
    command = ["gcc", "-shared", "-fPIC", "-x", "c", "-o", str(library), "-"]
    subprocess.run(command, input=INTEL, check=True, capture_output=True)
    return library


def is_listening(path: Path) -> bool:
    """Return whether a server accepts connections at a path."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        return client.connect_ex(str(path)) == 0


def count_digests(server: Path, name: str, threads: int, count: int) -> Counter[str]:
    """Run `count` trainers of a spec; return how many gave each digest."""
    spec = make_spec(name, threads)
    return Counter(run_trainer(server, spec) for _ in range(count))


def run_trainer(server: Path, spec: dict[str, Any]) -> str:
    """Fork a trainer; return 16 hex digits of its losses, weights and optimizer state."""
    log = str(server.with_name("log"))  # for warnings that torch gives every trainer
    with forked_trainer(server) as connection:
        send_frame(connection, "build", {"spec": spec, "device": "cpu", "log": log})
        receive_reply(connection, "built")
        send_frame(connection, "run", {"ticks": TICKS, "digest": True})
        ran = receive_reply(connection, "ran")
    assert ran.header["count"] == TICKS and not ran.header["failure"], ran.header
    (state,) = (value for column, _, value in ran.header["sparse"] if column == "state")
    return hashlib.sha256(bytes(ran.body) + state.encode()).hexdigest()[:16]


@contextmanager
def forked_trainer(server: Path) -> Iterator[socket.socket]:
    """Connect to a fresh trainer, which has ended afterwards."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(TIMEOUT_SECONDS)
        client.connect(str(server))
        client.sendall(b"1")
        _, descriptors, _, _ = socket.recv_fds(client, 64, 1)
    with socket.socket(fileno=descriptors[0]) as connection:
        connection.settimeout(TIMEOUT_SECONDS)
        yield connection
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b"", "a trainer that is let go says nothing more"


def receive_reply(connection: socket.socket, kind: str) -> Frame:
    """Wait for the reply to a command."""
    while (frame := receive_frame(connection)).kind == "phase":
        pass
    assert frame.kind == kind, frame.header
    return frame


def main(argv: Sequence[str]) -> int:
    """Parse the arguments, hunt, print a table; return 1 if trainers of one row differ."""
    parser = argparse.ArgumentParser(prog="python -m faults.threads", description=__doc__)
    parser.add_argument("--count", type=int, default=COUNT, help=f"trainers a row ({COUNT})")
    parser.add_argument("--threads", type=int, nargs="+", default=THREADS, help="(2 4)")
    parser.add_argument("--only", action="append", choices=SPECS, help="this spec (repeatable)")
    parser.add_argument("--control", action="store_true", help="without the call")
    parser.add_argument("--intel", action="store_true", help="as on an Intel processor (gcc)")
    options = parser.parse_args(argv)
    if options.intel and shutil.which("gcc") is None:
        parser.error("--intel: there is no gcc")
    started = time.monotonic()
    with fork_server(control=options.control, intel=options.intel) as server:
        rows = list(hunt(server, options.only or SPECS, options.threads, options.count))
    differing = sum(row.total() - max(row.values()) for row in rows)
    seconds = time.monotonic() - started
    print(f"{sum(row.total() for row in rows)} trainers, {differing} differ, {seconds:.0f} s")
    return 1 if differing else 0


def hunt(
    server: Path, names: Collection[str], threads: Sequence[int], count: int
) -> Iterator[Counter[str]]:
    """Print and yield row after row."""
    print(f"{'spec':{WIDTH}}  threads  trainers  digests")
    for name in names:
        for number in threads:
            row = count_digests(server, name, number, count)
            sizes = ", ".join(str(size) for _, size in row.most_common())
            digests = f"{len(row)} ({sizes})" if len(row) > 1 else "1"
            print(f"{name:{WIDTH}}  {number:7}  {row.total():8}  {digests}", flush=True)
            yield row


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
