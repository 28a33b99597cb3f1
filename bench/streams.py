"""Plain requests while 300 event streams are open: two API processes, 10^5 jobs, 10^6 ticks.

The streams follow jobs that train (a writer appends to them all the while). Each round asks one
kind of request as fast as a few clients can; latencies are told of those that ran side by side.
"""

import json
import os
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil

from bench.lists import KEY, MANY, SPEC, TENANT, fill
from bench.report import Figure
from bench.stores import Running, quiet, running_store
from jobs.files.artifacts import ArtifactStore
from jobs.ledger.client import JobLedger
from jobs.ledger.owner import LeaseLedger
from jobs.recording.writer import HistoryWriter
from jobs.spec.job_spec import read_spec
from jobs.store.connection import Store, connect

ROOT = Path(__file__).parent.parent
STREAMS, FOLLOWED = 300, 10
TICKS = 1_000_000
CLIENTS, SECONDS = 4, 3.0
#: a job that trains hands over so many ticks, so often
CHUNK, CHUNK_SECONDS = 500, 0.1
FINGERPRINT = {"engine": "eager", "torch": "2", "canary": "c", "device": "cpu", "threads": 1}


def measure(rounds: int) -> list[Figure]:
    """Ask each kind without streams, then with."""
    quiet()
    with ExitStack() as held:
        store = held.enter_context(running_store())
        followed = [Training(store, 10**9) for _ in range(FOLLOWED)]
        long = Training(store, TICKS + 1)
        long.record(TICKS)
        fill(store.client, MANY)
        url = held.enter_context(api(store))
        writer = held.enter_context(writing(followed))
        asked = kinds(url, long.job_id)
        figures = [each for name in asked for each in ask(url, name, asked[name], "", rounds)]
        crowd = held.enter_context(crowded(url, [job.job_id for job in followed]))
        figures.append(Figure(f"API with {STREAMS} streams alone", "% of a core", busy(rounds)))
        for name, what in asked.items():
            figures += ask(url, name, what, f", {STREAMS} streams", rounds)
        figures += crowd.figures()
    return [*figures, Figure("appends to the followed jobs", "/s", [writer.rate])]


def busy(rounds: int) -> list[float]:
    """How much of a core the API takes for its streams, without other requests."""
    children = psutil.Process().children(recursive=True)
    ours = [each for each in children if each.cmdline()[1:3] == ["-m", "api"]]
    found = []
    for _ in range(rounds):
        before = _processor_seconds(ours)
        time.sleep(SECONDS)
        found.append(100 * (_processor_seconds(ours) - before) / SECONDS)
    return found


def _processor_seconds(processes: list[psutil.Process]) -> float:
    return sum(sum(each.cpu_times()[:2]) for each in processes)


def kinds(url: str, job_id: str) -> dict[str, tuple[str, ...]]:
    """Name of a request -> its path (and ETag)."""
    headers = {"Authorization": f"Bearer {KEY}"}
    status = f"/v1/jobs/{job_id}"
    etag = httpx.get(url + status, headers=headers).headers["ETag"]
    return {
        "status GET": (status,),
        "status 304": (status, etag),
        "history, 1,000 ticks": (f"{status}/history?after={TICKS // 2}&limit=1000",),
        "view, 1,000 points of 10^6 ticks": (f"{status}/history?points=1000",),
        f"list of 100 among {MANY:,} jobs": ("/v1/jobs",),
    }


def ask(url: str, name: str, what: tuple[str, ...], suffix: str, rounds: int) -> list[Figure]:
    """Ask one kind for some rounds: requests a second, median and 99th percentile."""
    rates, middles, tails = [], [], []
    for _ in range(rounds):
        told = json.loads(_crowd("requests", url, str(SECONDS), str(CLIENTS), *what))
        took = sorted(1000 * seconds for seconds in told["took"])
        rates.append(len(took) / told["seconds"])
        middles.append(statistics.median(took))
        tails.append(took[int(0.99 * len(took))])
    return [
        Figure(f"{name}{suffix}", "requests/s", rates),
        Figure("  p50", "ms", middles),
        Figure("  p99", "ms", tails),
    ]


class Training:
    """A job that is trained by hand."""

    def __init__(self, store: Running, ticks: int) -> None:
        self._files = ArtifactStore(store.folder / "data" / "artifacts")
        self._store: Store = connect(store.url)
        body = {**SPEC, "budget": {"ticks": ticks}}
        spec = read_spec(body, max_parameters=10**9)
        self.job_id = JobLedger(self._store).submit(TENANT, spec).job_id
        ledger = LeaseLedger(self._store, lease_seconds=3600)
        claim = ledger.claim("cpu", worker="by-hand", device="cpu", canaries={"1": "c"})
        assert claim is not None and claim.lease.job_id == self.job_id
        ledger.record_engine(claim.lease, "eager", "cpu", FINGERPRINT)
        self._recorder = HistoryWriter(ledger, self._store, self._files, claim.lease)
        self._tick = 0

    def record(self, count: int) -> None:
        """Hand over so many ticks."""
        losses = np.random.default_rng(self._tick).random(count, np.float32)
        told: dict[str, Any] = {"phase": "training", "elapsed": (self._tick + count) / 5000}
        self._recorder.append(self._tick + 1, {"loss": losses}, **told)
        self._tick += count


@dataclass
class Writer:
    """Appends to all followed jobs until it is to stop."""

    jobs: list[Training]
    over: threading.Event = field(default_factory=threading.Event)
    appends: int = 0
    began: float = field(default_factory=time.monotonic)

    @property
    def rate(self) -> float:
        """Appends a second so far."""
        return self.appends / (time.monotonic() - self.began)

    def run(self) -> None:
        """Go on."""
        while not self.over.wait(CHUNK_SECONDS):
            for job in self.jobs:
                job.record(CHUNK)
                self.appends += 1


@contextmanager
def writing(jobs: list[Training]) -> Iterator[Writer]:
    """Train these jobs meanwhile."""
    writer = Writer(jobs)
    thread = threading.Thread(target=writer.run)
    thread.start()
    try:
        yield writer
    finally:
        writer.over.set()
        thread.join()


@contextmanager
def api(store: Running) -> Iterator[str]:
    """Run `python -m api` on a store: two processes of 256 threads."""
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
        fd, port = listener.fileno(), listener.getsockname()[1]
        env = {
            **os.environ,
            "TICKFORGE_REDIS_URL": store.url,
            "TICKFORGE_DATA_DIR": str(store.folder / "data"),
            "TICKFORGE_ADMIN_KEY": KEY,
            "TICKFORGE_RATE_LIMIT": "0",
            "TICKFORGE_API_FD": str(fd),
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "api"], cwd=ROOT, env=env, pass_fds=(fd,),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        while httpx.get(f"{url}/readyz", timeout=30).status_code != 200:
            time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(20)


@dataclass
class Crowd:
    """The process that holds the streams."""

    process: "subprocess.Popen[str]"

    def figures(self) -> list[Figure]:
        """End it; how many streams it had to the last, and what they were sent."""
        out, _ = self.process.communicate()
        told = json.loads(out)
        return [
            Figure("streams open to the last", "", [told["open"]]),
            Figure("  refused once and tried again", "", [told["refused"]]),
            Figure("  events received", "/s", [told["frames_per_second"]]),
        ]


@contextmanager
def crowded(url: str, jobs: list[str]) -> Iterator[Crowd]:
    """Hold the streams open."""
    argv = [sys.executable, "-m", "bench.crowd", "streams", url, KEY, str(STREAMS), *jobs]
    process = subprocess.Popen(
        argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        if process.stdout.readline() != "open\n":
            raise RuntimeError("the streams did not open")
        yield Crowd(process)
    finally:
        process.kill()
        process.wait()


def _crowd(way: str, url: str, *rest: str) -> str:
    argv = [sys.executable, "-m", "bench.crowd", way, url, KEY, *rest]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True).stdout
