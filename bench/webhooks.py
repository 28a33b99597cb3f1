"""Reads of a job's status while 100 webhooks are called a second, against none, side by side.

Two jobs are run by hand through the ledger and validated at the same pace: the webhooks take the
events of the one. So the store records the same in both halves. The calls come evenly (10 webhooks,
10 events a second), or all at once (100 webhooks, one event a second).
"""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import redis

from bench.report import Figure, ratio
from bench.service import ROOT, BenchService, running_service
from jobs.job import Lease
from jobs.ledger.client import JobLedger
from jobs.ledger.owner import LeaseLedger
from jobs.spec.reading import read_spec

CALLS_PER_SECOND = 100
READS_PER_SECOND = 100
#: by a word for it: events a second
PACES = {"evenly": 10, "at once": 1}
LEASE_SECONDS = 3600
SPEC = {
    "model": {"family": "mlp", "hidden": [4]},
    "data": {"source": "synthetic", "kind": "regression", "samples": 32, "features": 3},
    "budget": {"ticks": 100_000},
}


def measure(rounds: int, seconds: int = 20) -> list[Figure]:
    """Alternate between events for webhooks and for none, at both paces."""
    return [figure for pace in PACES for figure in _measure_pace(pace, rounds, seconds)]


def _measure_pace(pace: str, rounds: int, seconds: int) -> list[Figure]:
    alone, beside, rates = list[float](), list[float](), list[float]()
    environment = {"TICKFORGE_WEBHOOK_ALLOW": "127.0.0.1", "TICKFORGE_RATE_LIMIT": "0"}
    with running_service(**environment) as service, _running_target() as target:
        jobs = HandRunJobs(service, PACES[pace])
        for _ in range(CALLS_PER_SECOND // PACES[pace]):
            body = {"url": target.url, "events": ["job.validated"], "labels": {"called": "yes"}}
            service.http.post("/v1/webhooks", json=body).raise_for_status()
        _read_beside(service, jobs, "yes", 3)  # the sender starts
        for _ in range(rounds):
            alone.append(_quantile(_read_beside(service, jobs, "no", seconds), 0.99))
            before = target.count()
            beside.append(_quantile(_read_beside(service, jobs, "yes", seconds), 0.99))
            rates.append((target.count() - before) / seconds)
    return [
        Figure(f"calls of webhooks, {pace}", "/s", rates),
        Figure("status: p99, no webhook called", "ms", alone),
        Figure(f"status: p99, 100 called a second {pace}", "ms", beside),
        ratio(f"status p99: 100 webhooks called {pace} a second against none", beside, alone),
    ]


class HandRunJobs:
    """Two running jobs, with the label `called` yes and no, whose ticks are written here."""

    def __init__(self, service: BenchService, events_per_second: int) -> None:
        self.events_per_second = events_per_second
        folder = (service.folder / "store.socket").read_text().strip()
        store = redis.Redis(unix_socket_path=f"{folder}/store.sock")
        self._ledger, self._owner = JobLedger(store), LeaseLedger(store, LEASE_SECONDS)
        self._ticks = {"yes": 0, "no": 0}
        self._leases = {label: self._begin(label) for label in self._ticks}

    def job_id(self, label: str) -> str:
        """Return the id of one."""
        return self._leases[label].job_id

    def validate(self, label: str) -> None:
        """Write a tick and its validation."""
        self._ticks[label] = tick = self._ticks[label] + 1
        point = tick.to_bytes(8, "little") + bytes(8)
        self._owner.append_ticks(
            self._leases[label], tick, 1, {"loss": bytes(4)}, {}, 0, {"val_loss": point},
            metrics='{"val_loss":0.0}',
        )  # fmt: skip

    def _begin(self, label: str) -> Lease:
        """Submit a job and claim it before a worker does."""
        while True:
            spec = read_spec({**SPEC, "labels": {"called": label}}, max_parameters=10**6)
            self._ledger.submit("default", spec)
            claim = self._owner.claim("cpu", worker="bench", device="cpu", canaries={"1": "c"})
            if claim is not None:
                return claim.lease


class WebhookTarget:
    """The receiver's process."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.url = f"http://127.0.0.1:{self._read()}/"

    def count(self) -> int:
        """Return how many calls it has had."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())


@contextmanager
def _running_target() -> Iterator[WebhookTarget]:
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.webhook_target"], cwd=ROOT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        yield WebhookTarget(process)
    finally:
        process.kill()
        process.wait()


def _read_beside(service: BenchService, jobs: HandRunJobs, label: str, seconds: int) -> list[float]:
    """Read a job's status at a pace while one is validated once a second; return each one's ms."""

    def validate() -> None:
        for number in range(seconds * jobs.events_per_second):
            due = started + number / jobs.events_per_second
            time.sleep(max(0.0, due - time.perf_counter()))
            jobs.validate(label)

    path, started, latencies = f"/v1/jobs/{jobs.job_id(label)}", time.perf_counter(), list[float]()
    thread = threading.Thread(target=validate)
    thread.start()
    for number in range(seconds * READS_PER_SECOND):
        time.sleep(max(0.0, started + number / READS_PER_SECOND - time.perf_counter()))
        begun = time.perf_counter()
        service.http.get(path).raise_for_status()
        latencies.append(1000 * (time.perf_counter() - begun))
    thread.join()
    return latencies


def _quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]
