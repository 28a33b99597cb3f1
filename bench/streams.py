"""Plain requests while 300 event streams are open: two API processes, 10^5 jobs, 10^6 ticks.

The streams follow jobs that train (a writer appends to them all the while). Each round sends one
kind of request as fast as a few clients can.
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

from bench.lists import KEY, MANY, SPEC, TENANT, submit_jobs
from bench.report import Figure
from bench.store_server import RunningStore, running_store, silence_logs
from jobs.files.artifacts import ArtifactStore
from jobs.ledger.client import JobLedger
from jobs.ledger.owner import LeaseLedger
from jobs.recording.writer import HistoryWriter
from jobs.spec.reading import read_spec
from jobs.store.connection import Store, connect

ROOT = Path(__file__).parent.parent
STREAM_COUNT, FOLLOWED_JOBS = 300, 10
TICKS = 1_000_000
CLIENT_COUNT, ROUND_SECONDS = 4, 3.0
#: a job that trains hands over so many ticks, so often
CHUNK_TICKS, CHUNK_SECONDS = 500, 0.1
FINGERPRINT = {"engine": "eager", "torch": "2", "canary": "c", "device": "cpu", "threads": 1}


def measure(rounds: int) -> list[Figure]:
    """Send each kind of request without streams, then with them."""
    silence_logs()
    with ExitStack() as stack:
        store = stack.enter_context(running_store())
        followed = [ManualJob(store, 10**9) for _ in range(FOLLOWED_JOBS)]
        long = ManualJob(store, TICKS + 1)
        long.record(TICKS)
        submit_jobs(store.client, MANY)
        url = stack.enter_context(running_api(store))
        writer = stack.enter_context(appending(followed))
        requests = request_kinds(url, long.job_id)
        figures = [
            figure
            for name in requests
            for figure in measure_requests(url, name, requests[name], "", rounds)
        ]
        clients = stack.enter_context(open_streams(url, [job.job_id for job in followed]))
        figures.append(
            Figure(
                f"API with {STREAM_COUNT} streams alone", "% of a core", measure_api_load(rounds)
            )
        )
        for name, arguments in requests.items():
            figures += measure_requests(url, name, arguments, f", {STREAM_COUNT} streams", rounds)
        figures += clients.figures()
    return [*figures, Figure("appends to the followed jobs", "/s", [writer.rate])]


def measure_api_load(rounds: int) -> list[float]:
    """Return the share of a core that the API takes for its streams, without other requests."""
    children = psutil.Process().children(recursive=True)
    api_processes = [process for process in children if process.cmdline()[1:3] == ["-m", "api"]]
    percentages = []
    for _ in range(rounds):
        before = _processor_seconds(api_processes)
        time.sleep(ROUND_SECONDS)
        percentages.append(100 * (_processor_seconds(api_processes) - before) / ROUND_SECONDS)
    return percentages


def _processor_seconds(processes: list[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def request_kinds(url: str, job_id: str) -> dict[str, tuple[str, ...]]:
    """Return the path (and ETag) of each kind of request."""
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


def measure_requests(
    url: str, name: str, arguments: tuple[str, ...], suffix: str, rounds: int
) -> list[Figure]:
    """Send one kind for some rounds: requests per second, median and 99th percentile."""
    rates, middles, tails = [], [], []
    for _ in range(rounds):
        result = json.loads(
            _run_load_generator("requests", url, str(ROUND_SECONDS), str(CLIENT_COUNT), *arguments)
        )
        latencies = sorted(1000 * seconds for seconds in result["took"])
        rates.append(len(latencies) / result["seconds"])
        middles.append(statistics.median(latencies))
        tails.append(latencies[int(0.99 * len(latencies))])
    return [
        Figure(f"{name}{suffix}", "requests/s", rates),
        Figure("  p50", "ms", middles),
        Figure("  p99", "ms", tails),
    ]


class ManualJob:
    """A job that is trained by hand."""

    def __init__(self, store: RunningStore, ticks: int) -> None:
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
        """Append some ticks."""
        losses = np.random.default_rng(self._tick).random(count, np.float32)
        state: dict[str, Any] = {"phase": "training", "elapsed": (self._tick + count) / 5000}
        self._recorder.append(self._tick + 1, {"loss": losses}, **state)
        self._tick += count


@dataclass
class Appender:
    """A thread that appends to all followed jobs until it is stopped."""

    jobs: list[ManualJob]
    stopped: threading.Event = field(default_factory=threading.Event)
    appends: int = 0
    started: float = field(default_factory=time.monotonic)

    @property
    def rate(self) -> float:
        """Return the appends per second so far."""
        return self.appends / (time.monotonic() - self.started)

    def run(self) -> None:
        """Append until stopped."""
        while not self.stopped.wait(CHUNK_SECONDS):
            for job in self.jobs:
                job.record(CHUNK_TICKS)
                self.appends += 1


@contextmanager
def appending(jobs: list[ManualJob]) -> Iterator[Appender]:
    """Append to these jobs meanwhile."""
    writer = Appender(jobs)
    thread = threading.Thread(target=writer.run)
    thread.start()
    try:
        yield writer
    finally:
        writer.stopped.set()
        thread.join()


@contextmanager
def running_api(store: RunningStore) -> Iterator[str]:
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
class StreamClients:
    """The process that holds the streams."""

    process: "subprocess.Popen[str]"

    def figures(self) -> list[Figure]:
        """End it; return how many streams were open to the end, and how much they received."""
        out, _ = self.process.communicate()
        result = json.loads(out)
        return [
            Figure("streams open to the last", "", [result["open"]]),
            Figure("  refused once and tried again", "", [result["refused"]]),
            Figure("  events received", "/s", [result["frames_per_second"]]),
        ]


@contextmanager
def open_streams(url: str, jobs: list[str]) -> Iterator[StreamClients]:
    """Hold the streams open."""
    argv = [
        sys.executable,
        "-m",
        "bench.load_generator",
        "streams",
        url,
        KEY,
        str(STREAM_COUNT),
        *jobs,
    ]
    process = subprocess.Popen(
        argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        if process.stdout.readline() != "open\n":
            raise RuntimeError("the streams did not open")
        yield StreamClients(process)
    finally:
        process.kill()
        process.wait()


def _run_load_generator(mode: str, url: str, *rest: str) -> str:
    argv = [sys.executable, "-m", "bench.load_generator", mode, url, KEY, *rest]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True).stdout
