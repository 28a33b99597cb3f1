"""Write the result of a campaign into docs/reliability.md: python -m faults.page RESULT.json.

The page's two tables stand between markers and are made from the result, so that no number of them
is typed by hand. Runs no fault.
"""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from faults.catalogue import CATALOGUE
from faults.promises import PROMISES, Promise

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reliability.md"


def main(argv: list[str]) -> int:
    """Fill the tables of the page from one result."""
    if len(argv) != 1:
        print("usage: python -m faults.page RESULT.json", file=sys.stderr)
        return 2
    result = json.loads(Path(argv[0]).read_text())
    tables = {"promises": promises_table(result), "faults": faults_table(result)}
    PAGE.write_text(fill_tables(PAGE.read_text(), tables))
    return 0


def fill_tables(page: str, tables: dict[str, str]) -> str:
    """Return the page with each table between its two markers."""
    for name, table in tables.items():
        start, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        before, _, rest = page.partition(start)
        _, marker, after = rest.partition(end)
        assert marker, f"the page has no place for {name}"
        page = before + start + table + end + after
    return page


def is_named_by(promise: Promise, name: str) -> bool:
    """Return whether a promise names this fault, by its name or its beginning."""
    return any(name == fault or name.startswith(f"{fault}.") for fault in promise.faults)


def promises_table(result: dict[str, Any]) -> str:
    """Return a row for each promise: its faults, how often they happened, and the violations."""
    rounds, happened, _ = _count_faults(result)
    violations = Counter(_broken_invariants(result))
    lines = [
        "| promise | attacked by | rounds | faults | violations | a check that can fail: mutants |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for promise in PROMISES:
        names = [name for name in CATALOGUE if is_named_by(promise, name)]
        round_count = sum(rounds[name] for name in names)
        fault_count = sum(happened[name] for name in names)
        violation_count = sum(violations[invariant] for invariant in promise.invariants.split(", "))
        mutants = ", ".join(f"`{mutant}`" for mutant in promise.mutants)
        attacks = f"{' '.join(promise.faults)} | {round_count} | {fault_count} | {violation_count}"
        lines.append(
            f"| {promise.text} ({promise.invariants}) | {attacks} | {mutants} |"
            if promise.faults
            else f"| {promise.text} | tests | – | – | – | {mutants} |"
        )
    return "\n".join(lines) + "\n"


def faults_table(result: dict[str, Any]) -> str:
    """Return a row for each fault of the catalogue, below a line about the whole run."""
    rounds, happened, reasons = _count_faults(result)
    lines = [
        f"Seed {result['seed']}: {result['faults']} faults against {result['jobs']} jobs in "
        f"{result['seconds'] / 60:.0f} minutes; {len(_broken_invariants(result))} violations.",
        "",
        "| fault | what | rounds | happened |",
        "| --- | --- | --- | --- |",
    ]
    for name, entry in sorted(CATALOGUE.items(), key=_sort_key):
        note = f" (not run: {reasons[name]})" if name in reasons else ""
        lines.append(f"| {name} | {entry.title}{note} | {rounds[name]} | {happened[name]} |")
    return "\n".join(lines) + "\n"


def _sort_key(entry: tuple[str, object]) -> tuple[int, str]:
    name = entry[0]
    return int(name.partition(".")[0].removeprefix("F")), name


def _broken_invariants(result: dict[str, Any]) -> list[str]:
    violations = [entry for finding in result["findings"] for entry in finding["violations"]]
    return [violation["invariant"] for violation in [*violations, *result["left"]]]


def _count_faults(result: dict[str, Any]) -> tuple[Counter[str], Counter[str], dict[str, str]]:
    rounds, happened = Counter[str](), Counter[str]()
    reasons: dict[str, str] = {}
    for finding in result["findings"]:
        rounds.update(finding["round"]["faults"])
        happened.update(finding["happened"])
        reasons |= finding["not_run"]
    return rounds, happened, reasons


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
