"""Writes what a campaign found into docs/reliability.md: python -m faults.page RESULT.json.

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
    """Fill the page's tables from one result."""
    if len(argv) != 1:
        print("usage: python -m faults.page RESULT.json", file=sys.stderr)
        return 2
    result = json.loads(Path(argv[0]).read_text())
    page = filled(PAGE.read_text(), {"promises": promises(result), "faults": faults(result)})
    PAGE.write_text(page)
    return 0


def filled(page: str, tables: dict[str, str]) -> str:
    """Put each table between its two markers."""
    for name, table in tables.items():
        start, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        before, _, rest = page.partition(start)
        _, found, after = rest.partition(end)
        assert found, f"the page has no place for {name}"
        page = before + start + table + end + after
    return page


def attacks(promise: Promise, name: str) -> bool:
    """Whether a fault of the catalogue is one that this promise names."""
    return any(name == wanted or name.startswith(f"{wanted}.") for wanted in promise.faults)


def promises(result: dict[str, Any]) -> str:
    """One row a promise: what attacks it, how often that was done, what came of it."""
    rounds, happened, _ = _counted(result)
    broken = Counter(_invariants(result))
    lines = [
        "| promise | attacked by | rounds | faults | violations | a check that can fail: mutants |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for promise in PROMISES:
        names = [name for name in CATALOGUE if attacks(promise, name)]
        ran, came = (sum(count[name] for name in names) for count in (rounds, happened))
        found = sum(broken[each] for each in promise.invariants.split(", "))
        mutants = ", ".join(f"`{mutant}`" for mutant in promise.mutants)
        lines.append(
            f"| {promise.text} ({promise.invariants}) | {' '.join(promise.faults)} "
            f"| {ran} | {came} | {found} | {mutants} |"
        )
    return "\n".join(lines) + "\n"


def faults(result: dict[str, Any]) -> str:
    """One row a fault of the catalogue, with how the whole was run."""
    rounds, happened, reasons = _counted(result)
    lines = [
        f"Seed {result['seed']}: {result['faults']} faults against {result['jobs']} jobs in "
        f"{result['seconds'] / 60:.0f} minutes; {len(_invariants(result))} violations.",
        "",
        "| fault | what | rounds | happened |",
        "| --- | --- | --- | --- |",
    ]
    for name, entry in sorted(CATALOGUE.items(), key=_number):
        told = f" (not run: {reasons[name]})" if name in reasons else ""
        lines.append(f"| {name} | {entry.title}{told} | {rounds[name]} | {happened[name]} |")
    return "\n".join(lines) + "\n"


def _number(entry: tuple[str, object]) -> tuple[int, str]:
    name = entry[0]
    return int(name.partition(".")[0].removeprefix("F")), name


def _invariants(result: dict[str, Any]) -> list[str]:
    found = [each for finding in result["findings"] for each in finding["violations"]]
    return [each["invariant"] for each in [*found, *result["left"]]]


def _counted(result: dict[str, Any]) -> tuple[Counter[str], Counter[str], dict[str, str]]:
    rounds, happened = Counter[str](), Counter[str]()
    reasons: dict[str, str] = {}
    for finding in result["findings"]:
        rounds.update(finding["round"]["faults"])
        happened.update(finding["happened"])
        reasons |= finding["not_run"]
    return rounds, happened, reasons


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
