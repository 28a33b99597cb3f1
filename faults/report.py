"""The result of a campaign as lines, as a table and as JSON. Runs nothing."""

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from faults.campaign import Finding
from faults.catalogue import CATALOGUE
from faults.invariants import Violation
from faults.schedule import schedule_json


def format_round(number: int, finding: Finding) -> str:
    """Return a line for a round and one for each violation."""
    names = " ".join(finding.round.faults)
    verdict = "ok" if not finding.violations else f"{len(finding.violations)} VIOLATIONS"
    lines = [
        f"round {number:>4}  {finding.fault_count:>3} faults  {finding.jobs:>2} jobs "
        f"{finding.seconds:>5.1f} s  {verdict:<6} {names}"
    ]
    lines += [f"      {name} not run: {reason}" for name, reason in finding.not_run.items()]
    lines += [f"      {violation.invariant}: {violation.what}" for violation in finding.violations]
    if finding.violations:
        lines += [f"      did: {event}" for event in finding.story]
    return "\n".join(lines)


def format_table(findings: list[Finding]) -> str:
    """Return a line for each fault that was scheduled."""
    rounds, happened, violation_counts = Counter[str](), Counter[str](), Counter[str]()
    reasons: dict[str, str] = {}
    for finding in findings:
        rounds.update(finding.round.faults)
        happened.update(finding.happened)
        violation_counts.update(dict.fromkeys(finding.round.faults, len(finding.violations)))
        reasons |= finding.not_run
    name_width = max((len(name) for name in rounds), default=4)
    lines = [f"{'fault':<{name_width}}  rounds  happened  violations  what"]
    for name, entry in CATALOGUE.items():
        if name in rounds:
            note = f" (not run: {reasons[name]})" if name in reasons else ""
            lines.append(
                f"{name:<{name_width}}  {rounds[name]:>6}  {happened[name]:>8}  "
                f"{violation_counts[name]:>10}  {entry.title}{note}"
            )
    return "\n".join(lines)


def write_result(
    file: Path, seed: int, findings: list[Finding], remaining: list[Violation], seconds: float
) -> None:
    """Write the whole result as JSON, with the schedule that runs it again."""
    payload = {
        **json.loads(schedule_json(seed, [finding.round for finding in findings])),
        "faults": sum(finding.fault_count for finding in findings),
        "jobs": sum(finding.jobs for finding in findings),
        "seconds": round(seconds, 1),
        "left": [violation._asdict() for violation in remaining],
        "findings": [_finding_json(finding) for finding in findings],
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(payload, indent=1) + "\n")


def _finding_json(finding: Finding) -> dict[str, object]:
    violations = [violation._asdict() for violation in finding.violations]
    return {**asdict(finding), "violations": violations}
