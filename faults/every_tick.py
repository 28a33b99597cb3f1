"""`python -m faults.every_tick` (make every-tick): run a job, killed at each of its ticks in turn.

The trainer is killed right after tick k, for k = 1, 2, … to the last. Each time the job goes on by
itself, and its history, state digests and final weights must equal those of the undisturbed run,
bit for bit. Everything is read over HTTP, from one service for all runs.
"""

import argparse
import json
import secrets
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from faults.processes import running_service
from jobs.fault_points import ARMED_SUFFIX, FIRED_SUFFIX

DEFAULT_TICKS, MIN_TICKS = 200, 50
JOB_TIMEOUT_SECONDS = 120  # seconds that one job may take, on a machine with other things to do
Bits = dict[str, bytes]


def make_spec(ticks: int) -> dict[str, Any]:
    """Return a spec with all that has a state: dropout, momentum, schedule, shuffling, clipping."""
    return {
        "model": {"family": "mlp", "hidden": [16, 16], "dropout": 0.2},
        "data": {
            "source": "synthetic", "kind": "classification", "samples": 240, "features": 6,
            "classes": 3, "seed": 2,
        },
        "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9},
        "schedule": {"name": "cosine", "warmup_ticks": 20, "end_factor": 0.1},
        "budget": {"ticks": ticks},
        "batch_size": 32,
        "micro_batches": 2,
        "clip_norm": 1.0,
        "record": ["loss", "grad_norm"],
        "validation": {"fraction": 0.25, "every_ticks": 50},
        "checkpoint": {"every_ticks": 40, "every_seconds": None},
        "seed": 7,
    }  # fmt: skip


class JobRuns:
    """Runs of jobs on one service, as bytes; `points` is the folder of its fault points."""

    def __init__(self, http: httpx.Client, points: Path) -> None:
        self._http, self._points = http, points

    def run_undisturbed(self, ticks: int) -> Bits:
        """Return the bits of an undisturbed run."""
        return self._collect_bits(self._wait_for_end(self._submit(ticks), attempts=1))

    def run_killed_at(self, tick: int, ticks: int) -> Bits:
        """Return the bits of a run whose trainer was killed right after this tick."""
        armed = self._points / f"{secrets.token_hex(6)}{ARMED_SUFFIX}"
        armed.write_text(json.dumps({"point": "tick", "action": "kill", "at": tick}))
        job = self._wait_for_end(self._submit(ticks), attempts=2)
        fired = armed.with_suffix(FIRED_SUFFIX)
        assert fired.exists(), f"nothing was killed at tick {tick}"
        fired.unlink()
        return self._collect_bits(job)

    def _submit(self, ticks: int) -> str:
        response = self._http.post("/v1/jobs", json=make_spec(ticks)).raise_for_status()
        return str(response.json()["id"])

    def _get(self, path: str, **options: Any) -> httpx.Response:
        return self._http.get(path, **options).raise_for_status()

    def _wait_for_end(self, job_id: str, attempts: int) -> dict[str, Any]:
        deadline = time.monotonic() + JOB_TIMEOUT_SECONDS
        job: dict[str, Any] = {"finished_at": None}
        while job["finished_at"] is None and time.monotonic() < deadline:
            job = self._get(f"/v1/jobs/{job_id}?wait=20&until=end").json()
        result = (job["status"], job["tick"], job["attempt"], job["exact"])
        assert result == ("succeeded", job["ticks_total"], attempts, True), f"{job_id} is {result}"
        return job

    def _collect_bits(self, job: dict[str, Any]) -> Bits:
        """Return history, validation, state digests and weights, by name."""
        job_path = f"/v1/jobs/{job['id']}"
        binary = {"Accept": "application/octet-stream"}
        bits = {
            column: self._get(f"{job_path}/history?columns={column}", headers=binary).content
            for column in ("loss", "grad_norm")
        }
        names = "val_loss,val_accuracy,state"
        sparse = self._get(f"{job_path}/history?columns={names}").json()
        bits |= {name: json.dumps(sparse[name]).encode() for name in names.split(",")}
        for checkpoint in self._get(f"{job_path}/checkpoints").json()["data"]:
            for file in checkpoint["files"]:
                if file["name"].endswith(".safetensors"):
                    bits[f"{checkpoint['tick']}/{file['name']}"] = bytes.fromhex(file["sha256"])
        return bits


def count_differing_bits(first: Bits, second: Bits) -> int:
    """Return how many bits differ; all bits of what only one of the two has count."""
    return sum(_distance(first.get(name, b""), second.get(name, b"")) for name in first | second)


def _distance(first: bytes, second: bytes) -> int:
    length = max(len(first), len(second))
    xor = int.from_bytes(first[:length], "little") ^ int.from_bytes(second[:length], "little")
    return xor.bit_count() if len(first) == len(second) else 8 * length


@contextmanager
def open_runs() -> Iterator[JobRuns]:
    """Run a service with one worker, whose trainers can be killed at their ticks."""
    with tempfile.TemporaryDirectory(prefix="tickforge-every-tick-") as folder:
        points = Path(folder) / "points"
        points.mkdir()
        env = {"TICKFORGE_FAULTS": str(points), "TICKFORGE_API_PROCESSES": "1"}
        with running_service(Path(folder), workers=1, **env) as service, service.http as http:
            http.timeout = httpx.Timeout(JOB_TIMEOUT_SECONDS)
            yield JobRuns(http, points)


def main(argv: Sequence[str]) -> int:
    """Kill at every tick; return 1 if a single bit differs."""
    parser = argparse.ArgumentParser(prog="python -m faults.every_tick", description=__doc__)
    parser.add_argument("--ticks", type=int, default=DEFAULT_TICKS, help="of the job (%(default)s)")
    ticks = parser.parse_args(argv).ticks
    if ticks < MIN_TICKS:
        parser.error(f"--ticks {ticks}: {MIN_TICKS} or more")
    started = time.monotonic()
    with open_runs() as runs:
        straight = runs.run_undisturbed(ticks)
        differing = dict(_kill_in_turn(runs, straight, range(1, ticks + 1), ticks))
    differing_ticks = [tick for tick, bits in differing.items() if bits]
    print(
        f"{ticks} runs, each killed at another tick, {8 * sum(map(len, straight.values()))} bits "
        f"compared in each: {sum(differing.values())} differ, {time.monotonic() - started:.0f} s"
    )
    if differing_ticks:
        listing = ", ".join(map(str, differing_ticks))
        print(f"differing when killed at tick {listing}", file=sys.stderr)
    return 1 if differing_ticks else 0


def _kill_in_turn(
    runs: JobRuns, straight: Bits, kill_ticks: Iterable[int], ticks: int
) -> Iterator[tuple[int, int]]:
    for tick in kill_ticks:
        bits = count_differing_bits(straight, runs.run_killed_at(tick, ticks))
        if bits or tick % 20 == 0 or tick == ticks:
            print(f"killed at tick {tick} of {ticks}: {bits} bits differ", flush=True)
        yield tick, bits


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
