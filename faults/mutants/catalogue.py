"""Every mutant there is."""

from faults.mutants import of_durability, of_the_ledger, of_training

MUTANTS = (*of_the_ledger.MUTANTS, *of_training.MUTANTS, *of_durability.MUTANTS)
