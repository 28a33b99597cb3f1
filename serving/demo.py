"""`make demo`: a whole service in a temporary folder trains one job over HTTP and shows its curve.

Uses the service through its client only. The exit code is 0 only if the job succeeded.
"""

from __future__ import annotations

import csv
import io
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from serving.parent_death import set_parent_death_signal
from tickforge_client import Client, Job, TickforgeError, formatting, progress

ROOT = Path(__file__).resolve().parent.parent
SPEC = ROOT / "examples" / "digits.json"
IMAGES = ROOT / "examples" / "data" / "digits.csv"
READY_PREFIX = "tickforge ready "
#: seconds; torch may have to be read from a cold disk
START_TIMEOUT = 180.0
#: seconds; an ordered stop of serve.py takes at most 10
STOP_TIMEOUT = 12.0


class NotReady(Exception):
    """serve.py ended, or was not ready in time; the message is the end of its log."""


def main() -> int:
    """Run the demo; return its exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # a pipe's reader sees each line at once
    # a script's background job inherits SIGINT and SIGQUIT ignored
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, lambda received, _frame: sys.exit(128 + received))
    folder = Path(tempfile.mkdtemp(prefix="tickforge-demo-"))
    try:
        return run_demo(folder)
    except NotReady as error:
        print(f"the service did not start:\n{error}\nits log: {folder / 'serve.log'}")
    except TickforgeError as error:
        print(f"the demo failed: {error}\nthe service's log: {folder / 'serve.log'}")
    except KeyboardInterrupt:
        print(f"\nstopped; what was made lies in {folder}")
        return 130
    return 1


def run_demo(folder: Path) -> int:
    """Start a service in `folder` and train the example with it; return the exit code."""
    data = folder / "data"
    print("Tickforge: a model trained over HTTP\n")
    print(f"1. serve.py starts store, API and one worker; all they write is in {folder}")
    with running_service(data, folder / "serve.log", isolated_environment(folder)) as url:
        print(f"   ready on {url}\n")
        code = train(url, SPEC, data)
        print("The service stops.")
    return code


def train(url: str, spec: Path, data: Path) -> int:
    """Submit a spec, show its training and print the result; return 0 if it succeeded, else 1."""
    with Client(url, (data / "admin.key").read_text().strip()) as client:
        job = client.submit(json.loads(spec.read_text()))
        print(f"2. POST /v1/jobs with {spec.name}: job {job.id}\n")
        print("3. The worker trains it, tick by tick")
        has_curve = progress.show_progress(job, sys.stdout)
        print()
        if not has_curve:
            print("\n".join(progress.curve_lines(job, out=sys.stdout)))
        print_result(job, data)
    return 0 if job.status == "succeeded" else 1


def print_result(job: Job, data: Path) -> None:
    """Print the job's result and the next steps."""
    print("\n4. What came of it")
    print("\n".join(f"   {line}" for line in formatting.result_lines(job.fields)))
    if job.status != "succeeded":
        return
    accuracy = formatting.number_text(job.metrics.get("val_accuracy"))
    print(f"   held-out accuracy  {accuracy}, on images it was never trained on")
    print(f"   checkpoint         {find_checkpoint_folder(job, data)}")
    print_prediction(job)
    print(NEXT_STEPS)


def print_prediction(job: Job) -> None:
    """Ask the trained net for the digit of one image, over HTTP."""
    with IMAGES.open(newline="") as lines:
        image = next(iter(csv.DictReader(lines)))
    digit = image.pop("label")
    (prediction,) = job.predict([[float(pixel) for pixel in image.values()]], "final")
    share = prediction["probabilities"][prediction["class"]]
    sentence = f"the first image shows a {prediction['class']} ({share:.1%}); it is a {digit}"
    print(f"   prediction         {sentence}")


NEXT_STEPS = """
How to go on
   make serve                                             the service, data in ./data
   .venv/bin/tickforge submit examples/digits.json --watch
   curl -s http://127.0.0.1:8000/v1/jobs -H "Authorization: Bearer $(cat data/admin.key)" \\
        -H 'Content-Type: application/json' -d @examples/digits.json
"""


def find_checkpoint_folder(job: Job, data: Path) -> Path:
    """Return the folder of the job's final checkpoint on this machine."""
    tick = job.checkpoint("final").tick
    (folder,) = data.rglob(f"{job.id}/checkpoints/{tick}-t*")
    return folder


def isolated_environment(folder: Path) -> dict[str, str]:
    """Return our environment without TICKFORGE_ variables, with a config folder of its own."""
    names = [name for name in os.environ if not name.startswith("TICKFORGE_")]
    inherited = {name: os.environ[name] for name in names}
    return {**inherited, "XDG_CONFIG_HOME": str(folder / "config")}


@contextmanager
def running_service(data: Path, log: Path, env: Mapping[str, str]) -> Iterator[str]:
    """Run serve.py on a free port while the block lasts; yield its URL. Raises NotReady."""
    parent = os.getpid()
    with log.open("wb") as log_file:
        service = subprocess.Popen(
            [sys.executable, "serve.py", "--port", "0", "--data", data, "--workers", "1"],
            cwd=ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log_file,
            bufsize=0,
            process_group=0,  # Ctrl-C must not reach it: we stop it in order
            preexec_fn=lambda: set_parent_death_signal(parent, signal.SIGTERM),
        )
    try:
        yield _wait_for_url(service, log)
    finally:
        _stop_service(service)


def _wait_for_url(service: subprocess.Popen[bytes], log: Path) -> str:
    assert service.stdout is not None
    deadline = time.monotonic() + START_TIMEOUT
    while select.select([service.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
        line = service.stdout.readline().decode()
        if line.startswith(READY_PREFIX):
            return line.removeprefix(READY_PREFIX).strip()
        if not line:
            break
    raise NotReady("\n".join(log.read_text(errors="replace").splitlines()[-20:]))


def _stop_service(service: subprocess.Popen[bytes]) -> None:
    """Send SIGTERM, and SIGKILL after STOP_TIMEOUT; the children end with it."""
    service.terminate()
    try:
        service.wait(STOP_TIMEOUT)
    finally:
        service.kill()
        service.wait()
        assert service.stdout is not None
        service.stdout.close()


if __name__ == "__main__":
    sys.exit(main())
