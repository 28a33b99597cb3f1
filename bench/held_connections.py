"""Status reads beside 2,000 connections that are held, of each kind, and without them, in turn."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from bench.held_clients import REQUESTS
from bench.lists import ADMIN_HEADERS, KEY
from bench.report import Figure, ratio
from bench.service import ROOT
from bench.store_server import running_store, silence_logs
from bench.streams import ManualJob, running_api

CLIENTS = (sys.executable, "-m", "bench.held_clients")
HELD, READS = 2000, 200
TICKS = 1_000_000
DATASET_BYTES = 8 << 20


def measure(rounds: int, kinds: int = len(REQUESTS), held: int = HELD) -> list[Figure]:
    """Read a job's status beside connections of the first `kinds` kinds."""
    silence_logs()
    with running_store() as store:
        job = ManualJob(store, TICKS + 1)
        job.record(TICKS)
        with running_api(store) as url:
            text = b"abcdefgh" * (DATASET_BYTES // 8)
            headers = {**ADMIN_HEADERS, "Content-Type": "text/plain"}
            upload = httpx.post(f"{url}/v1/datasets", content=text, headers=headers, timeout=60)
            target = url, job.job_id, upload.json()["id"]
            figures: list[Figure] = []
            for kind in list(REQUESTS)[:kinds]:
                figures += measure_kind(kind, rounds, held, *target)
    return figures


def measure_kind(
    kind: str, rounds: int, held: int, url: str, job_id: str, dataset_id: str
) -> list[Figure]:
    """Read without held connections and beside them, in turn."""
    free: list[list[float]] = []
    beside: list[list[float]] = []
    opens, closes, failures = [], [], []
    for _ in range(rounds):
        free.append(read_status(url, job_id)["took"])
        with held_connections(kind, held, url, job_id, dataset_id) as clients:
            reads = read_status(url, job_id)
            counts = json.loads(clients.communicate()[0])
        beside.append(reads["took"])
        failures.append(reads["failed"])
        opens.append(counts["open"])
        closes.append(counts["closed"])
    tails = [percentile(values, 0.99) for values in beside]
    free_tails = [percentile(values, 0.99) for values in free]
    return [
        Figure(f"{kind}: held at the end of {held:,}", "", opens),
        Figure("  closed by the server", "", closes),
        Figure("  reads without an answer", "", failures),
        Figure("  p50 of a read", "ms", [percentile(values, 0.5) for values in beside]),
        Figure("  p99 of a read", "ms", tails),
        Figure("  slowest read", "ms", [percentile(values, 1) for values in beside]),
        Figure("  p99 without held ones", "ms", free_tails),
        ratio("  p99: ratio", tails, free_tails),
    ]


def percentile(seconds: list[float], share: float) -> float:
    """Return the value in milliseconds that the share of all does not exceed."""
    return 1000 * sorted(seconds)[min(len(seconds) - 1, int(share * len(seconds)))]


def read_status(url: str, job_id: str) -> dict[str, Any]:
    """Read a job's status READS times, from a niced process."""
    argv = [*CLIENTS, "read", url, KEY, str(READS), f"/v1/jobs/{job_id}"]
    result = subprocess.run(
        argv, cwd=ROOT, capture_output=True, check=True, preexec_fn=lambda: os.nice(10)
    )
    return json.loads(result.stdout)


@contextmanager
def held_connections(
    kind: str, held: int, url: str, job_id: str, dataset_id: str
) -> Iterator["subprocess.Popen[str]"]:
    """Hold connections from a niced process."""
    argv = [*CLIENTS, "hold", kind, url, KEY, str(held), job_id, dataset_id]
    process = subprocess.Popen(
        argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        preexec_fn=lambda: os.nice(10),
    )  # fmt: skip
    try:
        assert process.stdout is not None
        if process.stdout.readline() != "open\n":
            raise RuntimeError(f"no connections of the kind {kind}")
        yield process
    finally:
        process.kill()
        process.wait()
