"""`python -m faults.mutants` (make mutants): put faults into a copy of the code, one at a time.

Each must be seen by the tests that are named with it. Exits 1 when one survives.
"""

import argparse
import sys
from collections.abc import Sequence

from faults.mutants.catalogue import MUTANTS
from faults.mutants.mutant import EditNotApplicable, Mutant
from faults.mutants.trial import UnhealthyTree, Verdict, tree_copy

WIDTH = max(len(mutant.name) for mutant in MUTANTS)


def main(argv: Sequence[str]) -> int:
    """Parse the arguments, try the mutants, print a table."""
    parser = argparse.ArgumentParser(prog="python -m faults.mutants", description=__doc__)
    parser.add_argument("--list", action="store_true", help="say which there are, and try none")
    parser.add_argument("--only", metavar="NAME", action="append", help="try this one (repeatable)")
    options = parser.parse_args(argv)
    unknown = set(options.only or ()) - {mutant.name for mutant in MUTANTS}
    if unknown:
        parser.error(f"--only: no mutant is named {', '.join(sorted(unknown))}; --list names them")
    chosen = [mutant for mutant in MUTANTS if not options.only or mutant.name in options.only]
    if options.list:
        for mutant in chosen:
            print(f"{mutant.name:{WIDTH}}  {mutant.breaks}")
        return 0
    return _try_all(chosen)


def _try_all(mutants: Sequence[Mutant]) -> int:
    survivors = 0
    with tree_copy() as copy:
        try:
            copy.check_healthy(mutants)
            print("without a mutant all tests pass", flush=True)
            for mutant in mutants:
                verdict = copy.try_mutant(mutant)
                survivors += verdict.killer is None
                print(_row(verdict), flush=True)
        except (UnhealthyTree, EditNotApplicable) as error:
            print(error, file=sys.stderr)
            return 1
    print(f"{len(mutants)} mutants, {survivors} survived")
    return 1 if survivors else 0


def _row(verdict: Verdict) -> str:
    result = f"killed by {verdict.killer}" if verdict.killer else f"SURVIVED ({verdict.message})"
    return f"{verdict.name:{WIDTH}}  {verdict.seconds:5.1f} s  {result}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
