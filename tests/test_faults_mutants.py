"""Each promise can be seen to break: the mutants of faults/mutants, a few of them tried here.

`make mutants` tries them all.
"""

from collections.abc import Iterator

import pytest

from faults.mutants.__main__ import main
from faults.mutants.catalogue import MUTANTS
from faults.mutants.mutant import Edit, EditNotApplicable, Mutant
from faults.mutants.trial import TreeCopy, UnhealthyTree, tree_copy
from tests.support import ROOT

QUICK = [mutant for mutant in MUTANTS if mutant.quick]


@pytest.fixture(scope="module")
def copy() -> Iterator[TreeCopy]:
    with tree_copy() as tree:
        yield tree


def test_mutants_have_unique_names_and_can_be_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert listed == [mutant.name for mutant in MUTANTS] and len(set(listed)) == len(listed)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_still_fits_the_code_and_its_tests_exist(mutant: Mutant) -> None:
    for edit in mutant.edits:
        assert (ROOT / edit.file).read_text().count(edit.old) == 1, edit
        assert edit.old != edit.new
    for test in mutant.tests:
        file, _, name = test.partition("::")
        assert name.split("[")[0] in (ROOT / file).read_text()


def test_without_a_mutant_these_tests_pass(copy: TreeCopy) -> None:
    copy.check_healthy(QUICK)


@pytest.mark.parametrize("mutant", QUICK, ids=lambda mutant: mutant.name)
def test_a_mutant_is_killed(copy: TreeCopy, mutant: Mutant) -> None:
    verdict = copy.try_mutant(mutant)
    assert verdict.killer is not None, verdict.message


def test_an_edit_that_does_not_fit_is_refused(copy: TreeCopy) -> None:
    mutant = Mutant("odd", "nothing", (Edit("serve.py", "no such text", ""),), ("tests",))
    with pytest.raises(EditNotApplicable, match="0 times"):
        copy.try_mutant(mutant)


def test_a_mutant_that_changes_nothing_survives(copy: TreeCopy) -> None:
    blank = Edit("models/types.py", first_line(), first_line() + " ")
    test = "tests/test_ticks_micro_batches.py::test_the_tree_is_balanced_and_its_order_fixed"
    verdict = copy.try_mutant(Mutant("blank", "nothing", (blank,), (test,)))
    assert verdict.killer is None and verdict.message == "all tests passed"


def test_a_test_that_trips_over_the_edit_itself_kills_nothing(copy: TreeCopy) -> None:
    broken = Edit("models/types.py", first_line(), "import no_such_module")
    verdict = copy.try_mutant(
        Mutant("torn", "nothing", (broken,), ("tests/test_models_configs.py",))
    )
    assert verdict.killer is None and "did not run" in verdict.message


def test_tests_that_fail_without_a_mutant_say_so(copy: TreeCopy) -> None:
    ill = Mutant("ill", "nothing", (), ("tests/test_no_such_file.py",))
    with pytest.raises(UnhealthyTree):
        copy.check_healthy([ill])


def first_line() -> str:
    return (ROOT / "models/types.py").read_text().splitlines()[0]
