"""`python -m faults.soak`: a service in use for minutes or hours; exit 1 on any violation."""

import argparse
import json
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path

from faults.campaign import Campaign
from faults.soak.soak import Soak

RESULTS = Path(__file__).parent.parent / "results"


def main(argv: Sequence[str]) -> int:
    """Run a soak and print what it found."""
    options = build_parser().parse_args(argv)
    seed = options.seed if options.seed is not None else secrets.randbelow(10**6)
    print(f"seed {seed}: {options.minutes:g} minutes", flush=True)
    with Campaign() as campaign:
        soak = Soak(campaign, seed)
        soak.run(60 * options.minutes, lambda line: print(line, flush=True))
    file = options.json or RESULTS / f"soak-{seed}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    result = soak.as_json()
    file.write_text(json.dumps(result, indent=1) + "\n")
    print(soak.describe(soak.seconds))
    for process in result["processes"]:
        print(
            f"{process['role']:<9} {process['hours']:>5} h counted  "
            f"{process['mib'][0]:>6} to {process['mib'][1]:>6} MiB, "
            f"{process['mib_per_hour']:+.2f} MiB/h  descriptors {process['descriptors']}"
        )
    for violation in soak.tally.violations:
        print(f"      {violation.invariant}: {violation.what}")
    print(f"result: {file}")
    return 1 if soak.tally.violations else 0


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m faults.soak", allow_abbrev=False,
        description="Uses a whole service for a while (jobs, waits, streams, uploads, deletions) "
        "while one of its workers is killed again and again; then checks every job, every answer, "
        "and that no memory, descriptor, process or file was left.",
    )  # fmt: skip
    option = parser.add_argument
    option("--seed", type=int, help="of the clients; printed when it was drawn")
    option("--minutes", type=float, default=20.0, help="how long (default: 20)")
    option("--json", type=Path, metavar="FILE", help="where the result goes (faults/results/)")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
