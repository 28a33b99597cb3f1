"""`make demo-crash`: run one job undisturbed, and once while trainer, worker and store are killed.

For a person to watch. It ends with the digests of both histories and of both final weights; exit
code 0 only if they are equal. It uses HTTP alone, as any client would.
"""

import hashlib
import io
import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple, NoReturn

import httpx

from faults.processes import ROOT, ServiceProcess

EXAMPLE = ROOT / "examples" / "digits.json"
BINARY = {"Accept": "application/octet-stream"}
POLL_SECONDS = 0.02
#: seconds in which a job has new ticks after any kill: a worker's start on a busy machine, and room
TIMEOUT_SECONDS = 120.0
LEASE_SECONDS = "3"


class Digests(NamedTuple):
    """What must be equal in both runs."""

    history: str
    weights: str


class Kill(NamedTuple):
    """The role that is killed at a tick, and the message for the viewer."""

    tick: int
    target: str
    roles: tuple[str, ...]
    description: str


KILLS = (
    Kill(700, "the trainer", ("trainer",), "the process that computes the ticks"),
    Kill(1700, "the worker", ("worker", "child"), "which held the job; its lease runs out"),
    Kill(2200, "the store", ("store",), "the server that holds every record"),
)


class Demo:
    """A running service, a client of it, and the clock of the demo."""

    def __init__(self, service: ServiceProcess, http: httpx.Client) -> None:
        self.service, self._http = service, http
        self._started = time.monotonic()

    def narrate(self, text: str) -> None:
        """Print a message with the time."""
        print(f"{time.monotonic() - self._started:6.1f} s  {text}", flush=True)

    def submit(self, spec: dict[str, Any]) -> str:
        """Submit the job; return its id."""
        return str(self._http.post("/v1/jobs", json=spec).raise_for_status().json()["id"])

    def get_job(self, job_id: str) -> dict[str, Any] | None:
        """Return the job as the API shows it now, or None while the store is unavailable."""
        try:
            response = self._http.get(f"/v1/jobs/{job_id}")
        except httpx.TransportError:
            return None
        return response.json() if response.status_code == 200 else None

    def wait_for(self, job_id: str, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Poll until a condition on the job holds."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            job = self.get_job(job_id)
            if job is not None and condition(job):
                return job
            time.sleep(POLL_SECONDS)
        raise TimeoutError(f"nothing new within {TIMEOUT_SECONDS:g} s")

    def read_digests(self, job_id: str) -> Digests:
        """Return the digests of what the job has left."""
        history = self._http.get(f"/v1/jobs/{job_id}/history", headers=BINARY).raise_for_status()
        final = self._http.get(f"/v1/jobs/{job_id}/checkpoints/final").raise_for_status()
        return Digests(hashlib.sha256(history.content).hexdigest(), final.json()["sha256"])

    def list_attempts(self, job_id: str) -> list[dict[str, Any]]:
        """Return the attempts of the job."""
        return list(self._http.get(f"/v1/jobs/{job_id}/attempts").raise_for_status().json()["data"])


def main() -> int:
    """Run the demo in a temporary folder; return its exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    signal.signal(signal.SIGTERM, _on_signal)
    folder = Path(tempfile.mkdtemp(prefix="tickforge-crash-"))
    service = ServiceProcess(folder, workers=1, TICKFORGE_LEASE_SECONDS=LEASE_SECONDS)
    try:
        print("One job, twice: undisturbed, and while everything it depends on is killed.\n")
        service.start()
        with service.http as http:
            return run(Demo(service, http))
    except KeyboardInterrupt:
        return 130
    finally:
        service.end()
        shutil.rmtree(folder, ignore_errors=True)


def run(demo: Demo) -> int:
    """Run both jobs and compare them; return 0 only if every bit is equal."""
    # without the best ones, which would lie where the kills are: there is something to run again
    rules = {"every_ticks": 500, "keep_best": False}
    spec = {**json.loads(EXAMPLE.read_text()), "checkpoint": rules}
    demo.narrate(f"the service runs; {EXAMPLE.name} is submitted, {spec['budget']['ticks']} ticks")
    straight = demo.submit(spec)
    wait_for_success(demo, straight)
    demo.narrate("the same spec again, and now things break")
    crashed = demo.submit(spec)
    for kill in KILLS:
        kill_and_wait(demo, crashed, kill)
    wait_for_success(demo, crashed)
    for attempt in demo.list_attempts(crashed):
        demo.narrate(
            f"attempt {attempt['number']}: "
            f"ticks {attempt['first_tick']} to {attempt['last_tick']}, "
            f"{attempt['replayed']} run again and compared; {attempt['outcome']}"
        )
    return print_comparison(demo.read_digests(straight), demo.read_digests(crashed))


def kill_and_wait(demo: Demo, job_id: str, kill: Kill) -> None:
    """Kill processes at a tick, and wait for the next new tick."""
    job = demo.wait_for(job_id, lambda job: job["tick"] >= kill.tick)
    demo.service.processes.kill(*kill.roles)
    started = time.monotonic()
    demo.narrate(f"tick {job['tick']:>5}: SIGKILL for {kill.target}, {kill.description}")
    resumed = demo.wait_for(job_id, lambda new: new["tick"] > job["tick"])
    seconds = time.monotonic() - started
    demo.narrate(f"tick {resumed['tick']:>5}: it goes on, {seconds:.1f} s later")


def wait_for_success(demo: Demo, job_id: str) -> None:
    """Wait for the end of a job, which must be a success."""
    job = demo.wait_for(job_id, lambda job: job["finished_at"] is not None)
    demo.narrate(f"tick {job['tick']:>5}: {job['status']}, loss {job['loss']:.6g}")
    if job["status"] != "succeeded":
        raise SystemExit(f"the job {job['status']}: {job['error']}")


def print_comparison(straight: Digests, crashed: Digests) -> int:
    """Print the digests of both runs and whether they are equal."""
    for name in Digests._fields:
        print(f"\n{name} (sha256)")
        print(f"  undisturbed    {getattr(straight, name)}")
        print(f"  after crashes  {getattr(crashed, name)}")
        print(f"  {'equal' if getattr(straight, name) == getattr(crashed, name) else 'different'}")
    return 0 if straight == crashed else 1


def _on_signal(number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
