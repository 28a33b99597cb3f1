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
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from subprocess import DEVNULL, PIPE
from typing import Any

import httpx
import numpy as np
import psutil

from bench.lists import ADMIN_HEADERS, KEY, MANY, SPEC, TENANT, api_environment, submit_jobs
from bench.report import Figure
from bench.service import ROOT
from bench.store_server import RunningStore, running_store, silence_logs
from jobs.background_thread import BackgroundThread
from jobs.files.artifacts import ArtifactStore
from jobs.ledger.client import JobLedger
from jobs.ledger.owner import LeaseLedger
from jobs.recording.writer import HistoryWriter
from jobs.spec.reading import read_spec
from jobs.store.connection import Store, connect

STREAM_COUNT, FOLLOWED_JOBS = 300, 10
TICKS = 1_000_000
CLIENT_COUNT, ROUND_SECONDS = 4, 3.0
LOAD_GENERATOR = (sys.executable, "-m", "bench.load_generator")
Requests = dict[str, tuple[str, ...]]  # kind -> path (and ETag)
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
        appender = stack.enter_context(Appender(followed))
        requests = request_kinds(url, long.job_id)
        figures = measure_requests(url, requests, "", rounds)
        clients = stack.enter_context(open_streams(url, [job.job_id for job in followed]))
        load = measure_api_load(rounds)
        figures.append(Figure(f"API with {STREAM_COUNT} streams alone", "% of a core", load))
        figures += measure_requests(url, requests, f", {STREAM_COUNT} streams", rounds)
        figures += end_streams(clients)
    return [*figures, Figure("appends to the followed jobs", "/s", [appender.rate])]


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


def request_kinds(url: str, job_id: str) -> Requests:
    """Return the path (and ETag) of each kind of request."""
    status = f"/v1/jobs/{job_id}"
    etag = httpx.get(url + status, headers=ADMIN_HEADERS).headers["ETag"]
    return {
        "status GET": (status,),
        "status 304": (status, etag),
        "history, 1,000 ticks": (f"{status}/history?after={TICKS // 2}&limit=1000",),
        "view, 1,000 points of 10^6 ticks": (f"{status}/history?points=1000",),
        f"list of 100 among {MANY:,} jobs": ("/v1/jobs",),
    }


def measure_requests(url: str, requests: Requests, suffix: str, rounds: int) -> list[Figure]:
    """Send each kind for some rounds: requests per second, median and 99th percentile."""
    figures = []
    for name, arguments in requests.items():
        rates, middles, tails = [], [], []
        for _ in range(rounds):
            result = _run_requests(url, arguments)
            latencies = sorted(1000 * seconds for seconds in result["took"])
            rates.append(len(latencies) / result["seconds"])
            middles.append(statistics.median(latencies))
            tails.append(latencies[int(0.99 * len(latencies))])
        figures.append(Figure(f"{name}{suffix}", "requests/s", rates))
        figures += [Figure("  p50", "ms", middles), Figure("  p99", "ms", tails)]
    return figures


class ManualJob:
    """A job that is trained by hand."""

    def __init__(self, store: RunningStore, ticks: int) -> None:
        client: Store = connect(store.url)
        spec = read_spec({**SPEC, "budget": {"ticks": ticks}}, max_parameters=10**9)
        self.job_id = JobLedger(client).submit(TENANT, spec).job_id
        ledger = LeaseLedger(client, lease_seconds=3600)
        claim = ledger.claim("cpu", worker="by-hand", device="cpu", canaries={"1": "c"})
        assert claim is not None and claim.lease.job_id == self.job_id
        ledger.record_engine(claim.lease, "eager", "cpu", FINGERPRINT)
        files = ArtifactStore(store.folder / "data" / "artifacts")
        self._recorder = HistoryWriter(ledger, client, files, claim.lease)
        self._tick = 0

    def record(self, count: int) -> None:
        """Append some ticks."""
        losses = np.random.default_rng(self._tick).random(count, np.float32)
        first_tick, self._tick = self._tick + 1, self._tick + count
        elapsed = self._tick / 5000
        self._recorder.append(first_tick, {"loss": losses}, phase="training", elapsed=elapsed)


class Appender(BackgroundThread):
    """A context whose thread appends to all followed jobs."""

    def __init__(self, jobs: list[ManualJob]) -> None:
        super().__init__("appender")
        self._jobs, self._appends, self._started = jobs, 0, time.monotonic()

    @property
    def rate(self) -> float:
        """Return the appends per second so far."""
        return self._appends / (time.monotonic() - self._started)

    def _run(self) -> None:
        while not self._stopped.wait(CHUNK_SECONDS):
            for job in self._jobs:
                job.record(CHUNK_TICKS)
                self._appends += 1


@contextmanager
def running_api(store: RunningStore) -> Iterator[str]:
    """Run `python -m api` on a store: two processes of 256 threads."""
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
        fd, port = listener.fileno(), listener.getsockname()[1]
        env = {**os.environ, **api_environment(store), "TICKFORGE_API_FD": str(fd)}
        process = subprocess.Popen(
            [sys.executable, "-m", "api"], cwd=ROOT, env=env, pass_fds=(fd,),
            stdout=DEVNULL, stderr=DEVNULL,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        while httpx.get(f"{url}/readyz", timeout=30).status_code != 200:
            time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def open_streams(url: str, jobs: list[str]) -> Iterator["subprocess.Popen[str]"]:
    """Hold the streams open in a process."""
    argv = [*LOAD_GENERATOR, "streams", url, KEY, str(STREAM_COUNT), *jobs]
    process = subprocess.Popen(argv, cwd=ROOT, stdin=PIPE, stdout=PIPE, text=True)
    try:
        assert process.stdout is not None
        if process.stdout.readline() != "open\n":
            raise RuntimeError("the streams did not open")
        yield process
    finally:
        process.kill()
        process.wait()


def end_streams(process: "subprocess.Popen[str]") -> list[Figure]:
    """End it; return how many streams were open to the end, and how much they received."""
    result = json.loads(process.communicate()[0])
    return [
        Figure("streams open to the last", "", [result["open"]]),
        Figure("  refused once and tried again", "", [result["refused"]]),
        Figure("  events received", "/s", [result["frames_per_second"]]),
    ]


def _run_requests(url: str, arguments: tuple[str, ...]) -> dict[str, Any]:
    argv = [*LOAD_GENERATOR, "requests", url, KEY, str(ROUND_SECONDS), str(CLIENT_COUNT)]
    command = [*argv, *arguments]
    return json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout)
