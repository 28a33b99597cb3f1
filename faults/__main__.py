"""`python -m faults`: the catalogue against a running service; exit code 1 on any violation."""

import argparse
import secrets
import signal
import sys
import time
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from types import FrameType

from faults import report, schedule
from faults.campaign import Campaign, Finding
from faults.invariants import Violation
from faults.schedule import Round

RESULTS = Path(__file__).parent / "results"


def main(argv: Sequence[str]) -> int:
    """Run the rounds that were asked for and print what they found."""
    asked = parser().parse_args(argv)
    entries = schedule.chosen(asked.only)
    if not entries:
        print(f"no fault is called {asked.only}: --list names them", file=sys.stderr)
        return 2
    if asked.list:
        for entry in entries:
            print(f"{entry.name:<14} {entry.title}")
        return 0
    seed = asked.seed if asked.seed is not None else secrets.randbelow(10**6)
    rounds: Iterable[Round] = schedule.draw(seed, entries)
    if asked.schedule is not None:
        seed, rounds = schedule.read(asked.schedule)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    print(f"seed {seed}", flush=True)
    began = time.monotonic()
    findings, left = attack(islice(rounds, asked.rounds or None), asked.faults)
    seconds = time.monotonic() - began
    file = asked.json or RESULTS / f"{seed}.json"
    report.write(file, seed, findings, left, seconds)
    return conclude(findings, left, seconds, file)


def attack(rounds: Iterable[Round], most: int | None) -> tuple[list[Finding], list[Violation]]:
    """Run rounds until they end, or so many faults have happened."""
    findings: list[Finding] = []
    with Campaign() as campaign:
        for number, each in enumerate(rounds, 1):
            findings.append(campaign.run(each))
            print(report.line(number, findings[-1]), flush=True)
            happened = sum(finding.faults for finding in findings)
            if _told or (most is not None and happened >= most):
                break
        return findings, campaign.whole_again()


_told: list[int] = []  # signals so far: the first ends the run after its round, with its result


def _leave(number: int, _frame: FrameType | None) -> None:
    if _told:
        sys.exit(128 + number)
    _told.append(number)
    print("ending after this round; once more: at once", file=sys.stderr, flush=True)


def conclude(findings: list[Finding], left: list[Violation], seconds: float, file: Path) -> int:
    """Print the table and the sum of it all; return the exit code."""
    violations = [each for finding in findings for each in finding.violations] + left
    for broken in left:
        print(f"      {broken.invariant}: {broken.what}")
    print(f"\n{report.table(findings)}\n")
    faults = sum(finding.faults for finding in findings)
    jobs = sum(finding.jobs for finding in findings)
    print(
        f"{faults} faults in {len(findings)} rounds on {jobs} jobs in {seconds:.0f} s: "
        f"{len(violations)} violations. Result and schedule: {file}"
    )
    return 1 if violations else 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m faults", allow_abbrev=False,
        description="Attacks a whole service with the faults of docs/reliability.md and checks "
        "from its records that nothing was lost, doubled or changed.",
    )  # fmt: skip
    option = made.add_argument
    option("--seed", type=int, help="of the schedule; printed when it was drawn")
    option("--rounds", type=int, help="how many; 0: without end (see --faults)", default=0)
    option("--faults", type=int, help="end when so many have happened")
    option("--only", metavar="NAME", help="F7: all its kinds; F7.long: one")
    option("--schedule", type=Path, metavar="FILE", help="run the rounds of an earlier result")
    option("--json", type=Path, metavar="FILE", help="where the result goes (faults/results/)")
    option("--list", action="store_true", help="name the faults, run none")
    return made


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
