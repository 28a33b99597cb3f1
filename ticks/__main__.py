"""Trains a spec here, without any service: python -m ticks spec.json [--out FOLDER].

For debugging, for bug reports and as the reference in tests. As a worker's runner does for a job,
it looks at the clock where a budget counts seconds. Exit codes: 0 trained, 1 the training
failed, 2 a spec or folder that cannot be used.
"""

import argparse
import json
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from jobs.spec.faults import InvalidSpec
from jobs.spec.job_spec import JobSpec, read_spec

if TYPE_CHECKING:  # torch is imported once the spec is good: a bad one is answered at once
    from ticks.training import Failure, Training

MOST_PARAMETERS = 2 * 10**9
LINES = 20  # of progress, about
LONGEST = 1000  # ticks in one run, between looks at the clock


def main(arguments: list[str]) -> int:
    """Read the spec, train it, save its last state; return the exit code."""
    asked = parse(arguments)
    spec = read(asked.spec)
    folder = asked.out or free_folder(spec.name)
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        refuse(f"{folder}: {error.strerror}")
    training, failure = train(spec)
    from ticks import checkpoint

    saved = checkpoint.save(training, folder)
    ended = f"failed: {failure['detail']}" if failure else f"ended by {training.ended or 'budget'}"
    print(f"{ended}; tick {saved['tick']}, state {saved['state']}, saved in {folder}")
    return 1 if failure else 0


def parse(arguments: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m ticks", description="Train a spec here, without any service."
    )
    parser.add_argument("spec", type=Path, help="the spec, a JSON file as POST /v1/jobs takes it")
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER",
        help="where to save the last state; must not exist (default: a new folder in checkpoints/)",
    )  # fmt: skip
    return parser.parse_args(arguments)


def read(file: Path) -> JobSpec:
    """Read a spec; says every fault on a line of its own and ends the program if there are any."""
    try:
        return read_spec(json.loads(file.read_text()), max_parameters=MOST_PARAMETERS)
    except OSError as error:
        refuse(f"{file}: {error.strerror}")
    except ValueError as error:
        refuse(f"{file}: not JSON: {error}")
    except InvalidSpec as error:
        for fault in error.faults:
            value = json.dumps(fault.value)
            print(f"{fault.pointer or '/'}: {fault.detail}; got {value[:200]}", file=sys.stderr)
        raise SystemExit(2) from None


def train(spec: JobSpec) -> tuple["Training", "Failure | None"]:
    """Train to the end and print how it goes."""
    import torch

    from ticks import machine
    from ticks.training import Training

    machine.prepare(spec.compute.threads)
    device = torch.device("cuda" if spec.compute.device == "cuda" else "cpu")
    training = Training(spec, device)
    every = -(-(spec.ticks_total or LINES * LONGEST) // LINES)
    begun = time.monotonic()
    while training.ended is None:
        ran = training.run(min(LONGEST, every - training.at % every))
        if training.at % every == 0 or ran.decided.sparse or training.ended or ran.failed:
            loss = float(ran.chunk.columns["loss"][-1])
            print(line(ran.chunk.first + ran.chunk.count - 1, loss, ran.decided.sparse), flush=True)
        if ran.failed:
            return training, ran.failed
        seconds = spec.budget.seconds
        if seconds is not None and time.monotonic() - begun >= seconds:
            training.validate()
            break
    return training, None


def line(tick: int, loss: float, sparse: list[Any]) -> str:
    """Say a tick's loss and what was measured at it."""
    measured = [f"{name} {value:.6g}" for name, _, value in sparse if name != "state"]
    return "  ".join([f"tick {tick:>9,}  loss {loss:.6g}", *measured])


def free_folder(name: str) -> Path:
    """Find a new folder's name in checkpoints/."""
    plain = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-") or "job"
    home, number = Path("checkpoints"), 1
    while (home / f"{plain}-{number}").exists():
        number += 1
    return home / f"{plain}-{number}"


def refuse(why: str) -> NoReturn:
    """Say why it cannot go on, and end the program."""
    print(why, file=sys.stderr)
    raise SystemExit(2)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
