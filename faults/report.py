"""What a campaign found, as lines, as a table and as JSON. Runs nothing."""

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from faults.campaign import Finding
from faults.catalogue import CATALOGUE
from faults.invariants import Violation
from faults.schedule import Round, written


def line(number: int, finding: Finding) -> str:
    """One round in a line, and a line for each violation."""
    names = " ".join(finding.round.faults)
    verdict = "ok" if not finding.violations else f"{len(finding.violations)} VIOLATIONS"
    told = [
        f"round {number:>4}  {finding.faults:>3} faults  {finding.jobs:>2} jobs "
        f"{finding.seconds:>5.1f} s  {verdict:<6} {names}"
    ]
    told += [f"      {name} not run: {why}" for name, why in finding.not_run.items()]
    told += [f"      {broken.invariant}: {broken.what}" for broken in finding.violations]
    if finding.violations:
        told += [f"      did: {what}" for what in finding.story]
    return "\n".join(told)


def table(findings: list[Finding]) -> str:
    """One line for each fault of the catalogue that was scheduled."""
    rounds, happened, broken = Counter[str](), Counter[str](), Counter[str]()
    reasons: dict[str, str] = {}
    for finding in findings:
        rounds.update(finding.round.faults)
        happened.update(finding.happened)
        broken.update(dict.fromkeys(finding.round.faults, len(finding.violations)))
        reasons |= finding.not_run
    wide = max((len(name) for name in rounds), default=4)
    lines = [f"{'fault':<{wide}}  rounds  happened  violations  what"]
    for name, entry in CATALOGUE.items():
        if name in rounds:
            told = f" (not run: {reasons[name]})" if name in reasons else ""
            lines.append(
                f"{name:<{wide}}  {rounds[name]:>6}  {happened[name]:>8}  {broken[name]:>10}"
                f"  {entry.title}{told}"
            )
    return "\n".join(lines)


def write(
    file: Path, seed: int, findings: list[Finding], left: list[Violation], seconds: float
) -> None:
    """Write all of it, with the schedule that runs it again."""
    rounds: list[Round] = [finding.round for finding in findings]
    told = {
        **json.loads(written(seed, rounds)),
        "faults": sum(finding.faults for finding in findings),
        "jobs": sum(finding.jobs for finding in findings),
        "seconds": round(seconds, 1),
        "left": [broken._asdict() for broken in left],
        "findings": [_plain(finding) for finding in findings],
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(told, indent=1) + "\n")


def _plain(finding: Finding) -> dict[str, object]:
    told = asdict(finding)
    return {**told, "violations": [broken._asdict() for broken in finding.violations]}
