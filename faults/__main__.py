"""`python -m faults`: attack a running service by the catalogue; exit 1 on any violation."""

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
    """Run the requested rounds and print what they found."""
    options = build_parser().parse_args(argv)
    entries = schedule.select_entries(options.only)
    if not entries:
        print(f"no fault is called {options.only}: --list names them", file=sys.stderr)
        return 2
    if options.list:
        for entry in entries:
            print(f"{entry.name:<14} {entry.title}")
        return 0
    seed = options.seed if options.seed is not None else secrets.randbelow(10**6)
    rounds: Iterable[Round] = schedule.draw_rounds(seed, entries)
    if options.schedule is not None:
        seed, rounds = schedule.read_schedule(options.schedule)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _on_signal)
    print(f"seed {seed}", flush=True)
    started = time.monotonic()
    findings, remaining = run_rounds(islice(rounds, options.rounds or None), options.faults)
    seconds = time.monotonic() - started
    file = options.json or RESULTS / f"{seed}.json"
    report.write_result(file, seed, findings, remaining, seconds)
    return print_summary(findings, remaining, seconds, file)


def run_rounds(
    rounds: Iterable[Round], max_faults: int | None
) -> tuple[list[Finding], list[Violation]]:
    """Run rounds until the schedule ends or `faults` faults have happened."""
    findings: list[Finding] = []
    with Campaign() as campaign:
        for number, round_ in enumerate(rounds, 1):
            findings.append(campaign.run(round_))
            print(report.format_round(number, findings[-1]), flush=True)
            fault_count = sum(finding.fault_count for finding in findings)
            if _received_signals or (max_faults is not None and fault_count >= max_faults):
                break
        return findings, campaign.check_recovered()


#: signals so far: the first ends the run after its round, with its result
_received_signals: list[int] = []


def _on_signal(number: int, _frame: FrameType | None) -> None:
    if _received_signals:
        sys.exit(128 + number)
    _received_signals.append(number)
    print("ending after this round; once more: at once", file=sys.stderr, flush=True)


def print_summary(
    findings: list[Finding], remaining: list[Violation], seconds: float, file: Path
) -> int:
    """Print the table and the totals; return the exit code."""
    violations = [violation for finding in findings for violation in finding.violations] + remaining
    for leftover in remaining:
        print(f"      {leftover.invariant}: {leftover.what}")
    print(f"\n{report.format_table(findings)}\n")
    faults = sum(finding.fault_count for finding in findings)
    jobs = sum(finding.jobs for finding in findings)
    print(
        f"{faults} faults in {len(findings)} rounds on {jobs} jobs in {seconds:.0f} s: "
        f"{len(violations)} violations. Result and schedule: {file}"
    )
    return 1 if violations else 0


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m faults", allow_abbrev=False,
        description="Attacks a whole service with the faults of docs/reliability.md and checks "
        "from its records that nothing was lost, doubled or changed.",
    )  # fmt: skip
    option = parser.add_argument
    option("--seed", type=int, help="of the schedule; printed when it was drawn")
    option("--rounds", type=int, help="how many; 0: without end (see --faults)", default=0)
    option("--faults", type=int, help="end when so many have happened")
    option("--only", metavar="NAME", help="F7: all its kinds; F7.long: one")
    option("--schedule", type=Path, metavar="FILE", help="run the rounds of an earlier result")
    option("--json", type=Path, metavar="FILE", help="where the result goes (faults/results/)")
    option("--list", action="store_true", help="name the faults, run none")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
