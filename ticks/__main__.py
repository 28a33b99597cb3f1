"""Train a spec on this machine, without a service: python -m ticks spec.json [--out FOLDER].

For debugging, bug reports, and as the reference in tests. Reads the clock only for a budget of
seconds. Exit codes: 0 trained, 1 the training failed, 2 a spec or folder that cannot be used.
"""

import argparse
import json
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from jobs.spec.base import InvalidSpec
from jobs.spec.job_spec import JobSpec
from jobs.spec.reading import read_spec

if TYPE_CHECKING:  # torch takes seconds to import; a bad spec is reported before that
    from ticks.nonfinite import Failure
    from ticks.training import TrainingRun

MAX_PARAMETERS = 2 * 10**9
PROGRESS_LINES = 20  # about, over the whole training
MAX_RUN_TICKS = 1000  # ticks in one run, between two readings of the clock


def main(arguments: list[str]) -> int:
    """Read the spec, train it, save its last state, and return the exit code."""
    options = parse_arguments(arguments)
    spec = load_spec(options.spec)
    folder = options.out or find_free_folder(spec.name)
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        exit_with_error(f"{folder}: {error.strerror}")
    training, failure = train(spec)
    from ticks import state_files

    save_result = state_files.save(training, folder)
    end_reason = training.end_reason or "budget"
    summary = f"failed: {failure['detail']}" if failure else f"ended by {end_reason}"
    print(f"{summary}; tick {save_result['tick']}, state {save_result['state']}, saved in {folder}")
    return 1 if failure else 0


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    description = "Train a spec here, without any service."
    parser = argparse.ArgumentParser(prog="python -m ticks", description=description)
    parser.add_argument("spec", type=Path, help="the spec, a JSON file as POST /v1/jobs takes it")
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER",
        help="where to save the last state; must not exist (default: a new folder in checkpoints/)",
    )  # fmt: skip
    return parser.parse_args(arguments)


def load_spec(path: Path) -> JobSpec:
    """Read a spec; on errors, print each on a line of its own and exit with code 2."""
    try:
        spec = read_spec(json.loads(path.read_text()), max_parameters=MAX_PARAMETERS)
        if spec.init is not None:
            exit_with_error("/init: only the service has the weights of its jobs")
        return spec
    except OSError as error:
        exit_with_error(f"{path}: {error.strerror}")
    except ValueError as error:
        exit_with_error(f"{path}: not JSON: {error}")
    except InvalidSpec as error:
        for entry in error.errors:
            value = json.dumps(entry.value)
            print(f"{entry.pointer or '/'}: {entry.detail}; got {value[:200]}", file=sys.stderr)
        raise SystemExit(2) from None


def train(spec: JobSpec) -> tuple["TrainingRun", "Failure | None"]:
    """Train to the end, printing the progress; return the training and its failure, if any."""
    import torch

    from ticks import machine
    from ticks.training import TrainingRun

    machine.configure_torch(spec.compute.threads)
    device = torch.device(spec.queue)
    try:
        machine.check_device(device)
    except machine.DeviceUnavailable as error:
        exit_with_error(f"/compute/device: {error}")
    training = TrainingRun(spec, device)
    report_every = -(-(spec.ticks_total or PROGRESS_LINES * MAX_RUN_TICKS) // PROGRESS_LINES)
    started = time.monotonic()
    while training.end_reason is None:
        result = training.run(min(MAX_RUN_TICKS, report_every - training.ticks_done % report_every))
        chunk, sparse = result.chunk, result.decisions.sparse
        is_due = training.ticks_done % report_every == 0
        if is_due or sparse or training.end_reason or result.failure:
            tick, loss = chunk.first + chunk.count - 1, float(chunk.columns["loss"][-1])
            print(format_progress(tick, loss, sparse), flush=True)
        if result.failure:
            return training, result.failure
        seconds = spec.budget.seconds
        if seconds is not None and time.monotonic() - started >= seconds:
            training.validate()
            break
    return training, training.end_failure


def format_progress(tick: int, loss: float, sparse: list[Any]) -> str:
    """Format a line with a tick's loss and its metrics."""
    metrics = [f"{name} {value:.6g}" for name, _, value in sparse if name != "state"]
    return "  ".join([f"tick {tick:>9,}  loss {loss:.6g}", *metrics])


def find_free_folder(name: str) -> Path:
    """Return the first unused path checkpoints/NAME-NUMBER."""
    slug = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-") or "job"
    parent, number = Path("checkpoints"), 1
    while (parent / f"{slug}-{number}").exists():
        number += 1
    return parent / f"{slug}-{number}"


def exit_with_error(message: str) -> NoReturn:
    """Print a message to standard error and exit with code 2."""
    print(message, file=sys.stderr)
    raise SystemExit(2)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
