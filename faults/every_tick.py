"""`python -m faults.every_tick` (make every-tick): one job, killed at each of its ticks in turn.

The trainer is killed right after tick k, for k = 1, 2, … to the last; each time the job goes on by
itself, and its whole history, every state digest and the final weights must be those of the run
that nobody disturbed, bit for bit. Everything is asked over HTTP, of one service for all runs.
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

from faults.processes import serving
from jobs.fault_points import ARMED_SUFFIX, FIRED_SUFFIX

TICKS, LEAST = 200, 50
PATIENCE = 120  # seconds that one job may take, on a machine with other things to do
Bits = dict[str, bytes]


def spec(ticks: int) -> dict[str, Any]:
    """All that has a state: dropout, momentum, a schedule, shuffled rows, parts, clipping."""
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


class Runs:
    """Jobs of one service, told to the last bit; `points` is the folder of its fault points."""

    def __init__(self, http: httpx.Client, points: Path) -> None:
        self._http, self._points = http, points

    def undisturbed(self, ticks: int) -> Bits:
        """The bits of a run that nobody disturbs."""
        return self._bits(self._ended(self._submitted(ticks), attempts=1))

    def killed_at(self, tick: int, ticks: int) -> Bits:
        """The bits of a run whose trainer was killed right after this tick."""
        armed = self._points / f"{secrets.token_hex(6)}{ARMED_SUFFIX}"
        armed.write_text(json.dumps({"point": "tick", "action": "kill", "at": tick}))
        job = self._ended(self._submitted(ticks), attempts=2)
        fired = armed.with_suffix(FIRED_SUFFIX)
        assert fired.exists(), f"nothing was killed at tick {tick}"
        fired.unlink()
        return self._bits(job)

    def _submitted(self, ticks: int) -> str:
        answer = self._http.post("/v1/jobs", json=spec(ticks)).raise_for_status()
        return str(answer.json()["id"])

    def _ended(self, job_id: str, attempts: int) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE
        job: dict[str, Any] = {"finished_at": None}
        while job["finished_at"] is None and time.monotonic() < deadline:
            asked = self._http.get(f"/v1/jobs/{job_id}?wait=20&until=end")
            job = asked.raise_for_status().json()
        seen = (job["status"], job["tick"], job["attempt"], job["exact"])
        assert seen == ("succeeded", job["ticks_total"], attempts, True), f"{job_id} is {seen}"
        return job

    def _bits(self, job: dict[str, Any]) -> Bits:
        """History, validation, state digests and weights, by what they are."""
        where = f"/v1/jobs/{job['id']}"
        binary = {"Accept": "application/octet-stream"}
        bits = {
            column: self._http.get(f"{where}/history?columns={column}", headers=binary)
            .raise_for_status()
            .content
            for column in ("loss", "grad_norm")
        }
        names = "val_loss,val_accuracy,state"
        sparse = self._http.get(f"{where}/history?columns={names}").raise_for_status().json()
        bits |= {name: json.dumps(sparse[name]).encode() for name in names.split(",")}
        kept = self._http.get(f"{where}/checkpoints").raise_for_status().json()["data"]
        for checkpoint in kept:
            for file in checkpoint["files"]:
                if file["name"].endswith(".safetensors"):
                    digest = bytes.fromhex(file["sha256"])
                    bits[f"{checkpoint['tick']}/{file['name']}"] = digest
        return bits


def differing_bits(one: Bits, other: Bits) -> int:
    """How many bits differ; of what only one of them has, all do."""
    return sum(_differing(one.get(name, b""), other.get(name, b"")) for name in one | other)


def _differing(one: bytes, other: bytes) -> int:
    length = max(len(one), len(other))
    xor = int.from_bytes(one[:length], "little") ^ int.from_bytes(other[:length], "little")
    return xor.bit_count() if len(one) == len(other) else 8 * length


@contextmanager
def runs() -> Iterator[Runs]:
    """A service with one worker, whose trainers can be killed at their ticks."""
    with tempfile.TemporaryDirectory(prefix="tickforge-every-tick-") as folder:
        points = Path(folder) / "points"
        points.mkdir()
        env = {"TICKFORGE_FAULTS": str(points), "TICKFORGE_API_PROCESSES": "1"}
        with serving(Path(folder), workers=1, **env) as service, service.http as http:
            http.timeout = httpx.Timeout(PATIENCE)
            yield Runs(http, points)


def main(argv: Sequence[str]) -> int:
    """Kill at every tick; 1 if a single bit differs."""
    parser = argparse.ArgumentParser(prog="python -m faults.every_tick", description=__doc__)
    parser.add_argument("--ticks", type=int, default=TICKS, help=f"of the job ({TICKS})")
    ticks = parser.parse_args(argv).ticks
    if ticks < LEAST:
        parser.error(f"--ticks {ticks}: {LEAST} or more")
    begun = time.monotonic()
    with runs() as ours:
        straight = ours.undisturbed(ticks)
        differing = dict(_killed_in_turn(ours, straight, range(1, ticks + 1), ticks))
    wrong = [tick for tick, bits in differing.items() if bits]
    print(
        f"{ticks} runs, each killed at another tick, {8 * sum(map(len, straight.values()))} bits "
        f"compared in each: {sum(differing.values())} bits differ, {time.monotonic() - begun:.0f} s"
    )
    if wrong:
        print(f"differing when killed at tick {', '.join(map(str, wrong))}", file=sys.stderr)
    return 1 if wrong else 0


def _killed_in_turn(
    ours: Runs, straight: Bits, at: Iterable[int], ticks: int
) -> Iterator[tuple[int, int]]:
    for tick in at:
        bits = differing_bits(straight, ours.killed_at(tick, ticks))
        if bits or tick % 20 == 0 or tick == ticks:
            print(f"killed at tick {tick} of {ticks}: {bits} bits differ", flush=True)
        yield tick, bits


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
