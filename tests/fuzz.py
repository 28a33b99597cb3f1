"""`python -m tests.fuzz` (make fuzz): send many damaged files; a file that ends the process counts.

All go through the readers, every fiftieth to the API too. A child process sends some thousands and
is started again behind a file that it did not survive. Exits 1 where there is a fault. `--only
NUMBER` sends that file alone.
"""

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from api.app import create_app
from jobs.datasets.repository import DatasetRepository
from jobs.files.artifacts import ArtifactStore
from jobs.store.connection import connect
from tests.fuzz_campaign import FuzzReport, run_fuzz
from tests.fuzz_uploads import ApiTarget, ReaderTarget
from tests.support import ADMIN_KEY, running_store, settings_for
from tests.support_api import ReadingClient

FILES_PER_CHILD, API_EVERY = 10_000, 50
CHILD_ADDRESS_SPACE = 4 << 30  # beside what is mapped after the start: sizes that lie fail
MAX_GROWTH = 64 << 20  # bytes, of one child
CHILD_SECONDS = 3600


def main(argv: Sequence[str]) -> int:
    """Send the files, print what came of them."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--only", type=int, help="the number of one file")
    parser.add_argument("--child", nargs=3, metavar=("FIRST", "STOP", "OUT"), help="internal")
    options = parser.parse_args(argv)
    if options.child:
        first, stop, out = options.child
        send_files(options.seed, range(int(first), int(stop)), Path(out))
        return 0
    print(f"SEED={options.seed} COUNT={options.count}", flush=True)
    first, stop = 0, options.count
    if options.only is not None:
        first, stop = options.only, options.only + 1
    return report_all(options.seed, first, stop)


def report_all(seed: int, first: int, stop: int) -> int:
    """Send files in children; print outcomes and faults, and return the exit status."""
    outcomes, faults = Counter[str](), dict[str, str]()
    seconds, memory, start = [0.0, ""], 0, first
    while start < stop:
        end = min(stop, start + FILES_PER_CHILD)
        report, crash = run_child(seed, start, end)
        if crash:
            end = report["next"]
            faults[str(end - 1)] = crash
        outcomes.update(report["outcomes"])
        faults |= report["faults"]
        seconds, memory = max(seconds, report["seconds"]), max(memory, report["memory"])
        print(f"{end - first:,} files, {len(faults)} faults, {memory >> 20} MiB", flush=True)
        start = end
    for outcome, count in sorted(outcomes.items()):
        print(f"{count:8,}  {outcome}")
    for number, fault in faults.items():
        print(f"FAULT --seed {seed} --only {number}: {fault}")
    is_large = memory > MAX_GROWTH
    print(f"{sum(outcomes.values()):,} files, {len(faults)} faults; slowest {seconds}; "
          f"a process grew by {memory >> 20} MiB{' (too much)' * is_large}")  # fmt: skip
    return 1 if faults or is_large else 0


def run_child(seed: int, first: int, stop: int) -> tuple[dict[str, Any], str]:
    """Return the report of a child, and how it ended if not by itself."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "report"
        command = [sys.executable, "-m", "tests.fuzz", "--seed", str(seed)]
        command += ["--child", str(first), str(stop), str(out)]
        try:
            status = subprocess.run(
                command, stdout=subprocess.DEVNULL, timeout=CHILD_SECONDS
            ).returncode
        except subprocess.TimeoutExpired:
            status = "hangs"
        report = json.loads(out.read_text())
        return report, f"the process ended: {status}" if status else ""


def send_files(seed: int, numbers: range, out: Path) -> None:
    """Send files; the report is written before each: of a process that ends, it names the file."""
    with running_store() as server, tempfile.TemporaryDirectory() as folder:
        settings = settings_for(server.url, Path(folder))
        app = create_app(settings)
        app.test_client_class = ReadingClient
        client = app.test_client()
        client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {ADMIN_KEY}"
        files = ArtifactStore(settings.artifacts)
        datasets = DatasetRepository(connect(server.url), files, max_bytes=1 << 24)
        api = ApiTarget(client, datasets, settings.artifacts)
        readers = ReaderTarget(app, Path(folder))
        limit_memory()
        for report, number in run_fuzz(
            seed, numbers, readers.take, lambda number: None if number % API_EVERY else api.take
        ):
            write_report(report, number, out)


def limit_memory() -> None:
    """Bound the address space of this process by what it has and some more."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    size = pages * os.sysconf("SC_PAGE_SIZE") + CHILD_ADDRESS_SPACE
    resource.setrlimit(resource.RLIMIT_AS, (size, size))


def write_report(report: FuzzReport, number: int, out: Path) -> None:
    new = out.with_suffix(".new")
    new.write_text(json.dumps({**vars(report), "next": number + 1}))
    new.rename(out)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
