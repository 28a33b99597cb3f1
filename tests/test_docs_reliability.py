"""docs/reliability.md names faults and mutants that exist, and what it says was run was run."""

from faults.catalogue import CATALOGUE
from faults.mutants.catalogue import MUTANTS
from faults.page import PAGE, faults_table, fill_tables, is_named_by, promises_table
from faults.promises import PROMISES

TABLES = ("promises", "faults")


def test_every_fault_and_mutant_of_a_promise_exists() -> None:
    names = {mutant.name for mutant in MUTANTS}
    for promise in PROMISES:
        assert set(promise.mutants) <= names
        for wanted in promise.faults:
            assert any(name == wanted or name.startswith(f"{wanted}.") for name in CATALOGUE)


def test_every_fault_attacks_some_promise() -> None:
    assert [
        name for name in CATALOGUE if not any(is_named_by(promise, name) for promise in PROMISES)
    ] == []


def test_the_page_has_a_row_for_each_fault_and_promise() -> None:
    page = PAGE.read_text()

    assert [name for name in CATALOGUE if f"| {name} |" not in page] == []
    assert [promise.text for promise in PROMISES if promise.text not in page] == []


def test_a_violation_that_was_found_is_shown() -> None:
    violation = {"invariant": "I4", "what": "two owners"}
    finding = {
        "round": {"faults": ["F1"]}, "happened": {"F1": 3}, "not_run": {},
        "violations": [violation],
    }  # fmt: skip
    result = {"seed": 1, "faults": 3, "jobs": 1, "seconds": 60, "left": [], "findings": [finding]}
    places = "".join(
        f"<!-- {table_name} -->\nFROM BEFORE\n<!-- end of {table_name} -->\n"
        for table_name in TABLES
    )
    page = fill_tables(places, {"promises": promises_table(result), "faults": faults_table(result)})

    assert "FROM BEFORE" not in page
    row = next(line for line in page.splitlines() if "(I4)" in line)
    assert row.split("|")[5].strip() == "1"
    assert "3 faults against 1 jobs in 1 minutes; 1 violations" in page
